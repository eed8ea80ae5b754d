"""A secret gets another value: both work for a while, and the older one ends at a given moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.gateway import api_secret
from shared import errors
from tests import databases
from tests.secrets.conftest import GATEWAY, MEMBER, OWNER, STRANGER


@pytest.fixture
def values():
    return [api_secret.generate() for _ in range(4)]


def known(secrets, values):
    return [secrets.is_known(value) for value in values]


class TestRotateSecret:
    def test_answers_with_everything_but_the_value(self, secrets, values):
        made = secrets.create(values[0])
        secrets.wait(minutes=1)

        rotated = secrets.rotate(made["id"], values[1], overlap_seconds=3600)

        assert rotated == {
            **made,
            "hint": f"chs_live_\u2026{values[1][-4:]}",
            "rotated_at": "2026-11-22T12:01:00Z",
            "former": {"hint": f"chs_live_\u2026{values[0][-4:]}", "works_until": "2026-11-22T13:01:00Z"},
        }
        assert secrets.ask("list_secrets") == [rotated]

    def test_lets_both_values_be_the_same_secret_until_the_overlap_ends_and_not_a_moment_longer(
        self, secrets, values
    ):
        made = secrets.create(values[0], scopes=["bots:read"])
        secrets.rotate(made["id"], values[1], overlap_seconds=3600)

        secrets.wait(hours=1, microseconds=-1)
        older, newer = secrets.verify(values[0]), secrets.verify(values[1])
        assert older == {**newer, "expires_at": "2026-11-22T13:00:00Z"}
        assert newer == {"secret_id": made["id"], "org_id": "org_1", "scopes": ["bots:read"], "expires_at": None}

        secrets.wait(microseconds=1)
        assert known(secrets, values[:2]) == [False, True]
        assert secrets.ask("get_secret", secret_id=made["id"])["former"] is None

    def test_takes_a_day_where_no_overlap_is_named_and_none_where_it_is_nothing(self, secrets, values):
        made = secrets.create(values[0])

        assert secrets.rotate(made["id"], values[1])["former"]["works_until"] == "2026-11-23T12:00:00Z"
        assert secrets.rotate(made["id"], values[2], overlap_seconds=0)["former"] is None
        assert known(secrets, values[:3]) == [False, False, True]

    def test_twice_within_the_overlap_leaves_the_newest_two(self, secrets, values):
        made = secrets.create(values[0])
        for value in values[1:]:
            secrets.rotate(made["id"], value, overlap_seconds=3600)

        assert known(secrets, values) == [False, False, True, True]

    def test_of_several_at_once_leaves_the_newest_two(self, secrets, values):
        made = secrets.create()
        ready = threading.Barrier(len(values))

        def rotate(value):
            ready.wait(5)
            return secrets.rotate(made["id"], value, overlap_seconds=3600)

        with ThreadPoolExecutor(len(values)) as pool:
            list(pool.map(rotate, values))

        assert sorted(known(secrets, values)) == [False, False, True, True]

    def test_never_makes_it_live_longer_than_it_was_made_for(self, secrets, values):
        made = secrets.create(values[0], expires_at="2026-11-22T13:00:00Z")
        rotated = secrets.rotate(made["id"], values[1])

        assert (rotated["expires_at"], rotated["former"]["works_until"]) == ("2026-11-22T13:00:00Z",) * 2
        secrets.wait(hours=1)
        assert known(secrets, values[:2]) == [False, False]

    def test_tells_the_others_when_the_older_value_ends_and_nothing_of_either(self, secrets, values):
        made = secrets.create(values[0])
        secrets.rotate(made["id"], values[1], overlap_seconds=60)

        assert secrets.told()[-1] == (
            "secrets.SecretRotated",
            {
                "org_id": "org_1",
                "secret_id": made["id"],
                "rotated_by": "acc_owner",
                "former_until": "2026-11-22T12:01:00Z",
            },
        )
        everything = databases.everything_in(secrets.database)
        for value in values[:2]:
            assert value not in everything
            assert api_secret.fingerprint(value) not in everything

    def test_does_not_answer_a_repeat_as_if_its_new_value_were_good(self, secrets, values):
        made = secrets.create(values[0])
        secrets.rotate(made["id"], values[1], command_id="cmd_once")

        with pytest.raises(errors.Conflict, match="secret_already_rotated") as refused:
            secrets.rotate(made["id"], values[2], command_id="cmd_once")

        assert refused.value.details == {"id": made["id"]}
        assert known(secrets, values[:3]) == [True, True, False]

    def test_ends_both_values_when_the_secret_is_revoked(self, secrets, values):
        made = secrets.create(values[0])
        secrets.rotate(made["id"], values[1])
        secrets.tell("revoke_secret", secret_id=made["id"])

        assert known(secrets, values[:2]) == [False, False]
        assert secrets.ask("get_secret", secret_id=made["id"])["former"] is None
        with pytest.raises(errors.Conflict, match="secret_revoked"):
            secrets.rotate(made["id"], values[2])

    def test_refuses_one_that_has_expired(self, secrets, values):
        made = secrets.create(values[0], expires_at="2026-11-22T13:00:00Z")
        secrets.wait(hours=1)

        with pytest.raises(errors.Conflict, match="secret_expired"):
            secrets.rotate(made["id"], values[1])

    def test_needs_no_room(self, secrets, values):
        secrets.limit(1)
        made = secrets.create(values[0])

        assert secrets.rotate(made["id"], values[1])["state"] == "active"

    def test_is_for_the_owner_and_a_member_for_their_own(self, secrets, values):
        own, other = secrets.create(actor=MEMBER), secrets.create(values[0])

        assert secrets.rotate(own["id"], actor=MEMBER)["id"] == own["id"]
        assert secrets.rotate(own["id"], actor=OWNER)["id"] == own["id"]
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            secrets.rotate(other["id"], values[1], actor=MEMBER)
        assert known(secrets, values[:2]) == [True, False]

    def test_does_not_know_one_of_another_org(self, secrets):
        made = secrets.create()

        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.rotate(made["id"], actor=STRANGER)
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            secrets.rotate(made["id"], actor=GATEWAY)

    def test_keeps_the_new_value_under_the_new_pepper_and_knows_the_former_one_under_its_own(self, secrets, values):
        secrets.season("o" * 32)
        made = secrets.create(values[0])
        secrets.season("n" * 32, "o" * 32)
        secrets.rotate(made["id"], values[1])

        assert known(secrets, values[:2]) == [True, True]
        secrets.season("n" * 32)
        assert known(secrets, values[:2]) == [False, True]
