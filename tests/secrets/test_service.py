"""API secrets through the doors."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from services.gateway import api_secret
from shared import context, errors, events, tables
from tests import databases
from tests.secrets.conftest import GATEWAY, MEMBER, OWNER, STRANGER


@pytest.fixture
def value():
    return api_secret.generate()


class TestCreateSecret:
    def test_answers_with_everything_but_the_value(self, secrets, value):
        answer = secrets.create(value, scopes=["bots:read"], expires_at="2027-01-31T00:00:00+01:00")

        assert answer == {
            "id": answer["id"],
            "name": "Website",
            "hint": f"chs_live_\u2026{value[-4:]}",
            "scopes": ["bots:read"],
            "made_by": "acc_owner",
            "state": "active",
            "revoked_reason": None,
            "leak_url": None,
            "created_at": "2026-11-22T12:00:00Z",
            "expires_at": "2027-01-30T23:00:00Z",
            "rotated_at": None,
            "last_used_at": None,
            "former": None,
        }

    def test_tells_the_others_nothing_of_its_name_or_value(self, secrets, value):
        answer = secrets.create(value)

        assert secrets.told() == [
            (
                "secrets.SecretCreated",
                {
                    "org_id": "org_1",
                    "secret_id": answer["id"],
                    "made_by": "acc_owner",
                    "name_version": 1,
                    "scopes": ["messages:write"],
                    "expires_at": "",
                },
            )
        ]

    def test_leaves_neither_the_value_nor_its_hash_in_any_table(self, secrets, value):
        secrets.create(value)
        secrets.verify(value)

        everything = databases.everything_in(secrets.database)

        assert "Website" in everything
        for secret in (value, value.removeprefix("chs_live_"), api_secret.fingerprint(value)):
            assert secret not in everything
            assert secret.encode().hex() not in everything

    def test_does_not_answer_a_repeat_as_if_its_new_value_were_good(self, secrets, value):
        first = secrets.create(value, command_id="cmd_once")
        second_value = api_secret.generate()

        with pytest.raises(errors.Conflict, match="secret_already_created") as refused:
            secrets.create(second_value, command_id="cmd_once")

        assert refused.value.details == {"id": first["id"]}
        assert secrets.verify(value)["secret_id"] == first["id"]
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.verify(second_value)

    def test_lets_two_have_one_name(self, secrets):
        assert secrets.create()["id"] != secrets.create()["id"]

    def test_counts_those_that_are_alive(self, secrets):
        secrets.limit(2)
        secrets.create(expires_at="2026-11-22T13:00:00Z")
        revoked = secrets.create()

        with pytest.raises(errors.Conflict, match="secret_limit"):
            secrets.create()
        secrets.create(actor=STRANGER)
        secrets.tell("revoke_secret", secret_id=revoked["id"])
        secrets.create()
        secrets.wait(hours=1)
        secrets.create()
        with pytest.raises(errors.Conflict, match="secret_limit"):
            secrets.create()

    def test_keeps_the_limit_when_many_come_at_once(self, secrets):
        secrets.limit(2)
        ready = threading.Barrier(5)

        def create(_number):
            ready.wait(5)
            try:
                return secrets.create()["state"]
            except errors.Conflict as refused:
                return refused.code

        with ThreadPoolExecutor(5) as pool:
            outcomes = sorted(pool.map(create, range(5)))

        assert outcomes == ["active", "active", "secret_limit", "secret_limit", "secret_limit"]

    @pytest.mark.parametrize(
        "actor", [GATEWAY, context.Actor(kind="secret", id="sec_1", org_id="org_1"), context.ANYONE]
    )
    def test_is_for_people(self, secrets, actor):
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            secrets.create(actor=actor)


class TestVerifySecret:
    def test_says_whose_it_is_and_what_it_may(self, secrets, value):
        answer = secrets.create(value, scopes=["bots:read"])

        assert secrets.verify(value) == {
            "secret_id": answer["id"],
            "org_id": "org_1",
            "scopes": ["bots:read"],
            "expires_at": None,
        }

    @pytest.mark.parametrize("sha256", ["", "0a" * 32, "no hexadecimal \u2026"])
    def test_does_not_know_what_was_never_made(self, secrets, sha256):
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.ask("verify_secret", actor=GATEWAY, sha256=sha256)

    def test_knows_it_until_the_moment_it_expires(self, secrets, value):
        secrets.create(value, expires_at="2026-11-22T13:00:00Z")

        secrets.wait(hours=1, microseconds=-1)
        assert secrets.verify(value)["expires_at"] == "2026-11-22T13:00:00Z"
        secrets.wait(microseconds=1)
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.verify(value)

    def test_knows_secrets_of_a_former_pepper_and_makes_new_ones_under_the_new(self, secrets, value):
        old_value, new_value = value, api_secret.generate()
        secrets.season("o" * 32)
        secrets.create(old_value)
        secrets.season("n" * 32, "o" * 32)
        secrets.create(new_value)

        assert secrets.verify(old_value)["org_id"] == secrets.verify(new_value)["org_id"] == "org_1"
        secrets.season("n" * 32)
        assert secrets.verify(new_value)["org_id"] == "org_1"
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.verify(old_value)

    def test_is_asked_by_services_only(self, secrets, value):
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            secrets.ask("verify_secret", sha256=api_secret.fingerprint(value))


class TestNoteUses:
    def test_writes_down_the_hour(self, secrets):
        used, other = secrets.create(), secrets.create()
        seen = []
        for minutes in (5, 54, 1):
            secrets.wait(minutes=minutes)
            secrets.ask("note_uses", actor=GATEWAY, secret_ids=[used["id"], "sec_nobodys"])
            seen.append(secrets.ask("get_secret", secret_id=used["id"])["last_used_at"])

        assert seen == ["2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z"]
        assert secrets.ask("get_secret", secret_id=other["id"])["last_used_at"] is None

    def test_writes_nothing_that_is_known_already(self, secrets):
        made = secrets.create()
        rows = []
        for _ in range(2):
            secrets.ask("note_uses", actor=GATEWAY, secret_ids=[made["id"]])
            with secrets.database.begin() as session:
                rows.append(session.execute(text("SELECT xmin, ctid FROM digests")).all())

        assert rows[0] == rows[1]

    def test_is_not_set_back_by_a_clock_that_is(self, secrets):
        made = secrets.create()
        secrets.ask("note_uses", actor=GATEWAY, secret_ids=[made["id"]])
        secrets.wait(hours=-1)
        secrets.ask("note_uses", actor=GATEWAY, secret_ids=[made["id"]])

        assert secrets.ask("get_secret", secret_id=made["id"])["last_used_at"] == "2026-11-22T12:00:00Z"

    def test_is_told_by_our_own_processes_only(self, secrets):
        for actor in (OWNER, replace(GATEWAY, id="bot-runtime")):
            with pytest.raises(errors.Forbidden, match="not_allowed"):
                secrets.ask("note_uses", actor=actor, secret_ids=[])


class TestListSecrets:
    def test_shows_all_in_the_order_of_their_making_page_by_page(self, secrets):
        made = [secrets.create(name=name)["id"] for name in ("Website", "Till", "Shop")]
        secrets.create(actor=STRANGER)

        first = secrets.ask("list_secrets", actor=MEMBER, limit=2)
        rest = secrets.ask("list_secrets", actor=MEMBER, after=first[-1]["id"])

        assert {one["id"] for one in first + rest} == set(made)
        assert [one["id"] for one in first + rest] == sorted(made)
        assert sorted(one["name"] for one in first + rest) == ["Shop", "Till", "Website"]

    def test_says_which_ones_work(self, secrets):
        secrets.create(name="active")
        secrets.create(name="expired", expires_at="2026-11-22T13:00:00Z")
        gone = secrets.create(name="revoked", expires_at="2026-11-22T13:00:00Z")
        secrets.tell("revoke_secret", secret_id=gone["id"])
        secrets.wait(hours=2)

        listed = secrets.ask("list_secrets")

        assert {one["name"]: one["state"] for one in listed} == {
            "active": "active",
            "expired": "expired",
            "revoked": "revoked",
        }


class TestListNewest:
    def test_tells_those_that_work_from_the_others_the_newest_first(self, secrets):
        secrets.create(actor=STRANGER)
        secrets.create(name="expired", expires_at="2026-11-22T13:00:00Z")
        gone = secrets.create(name="revoked")
        secrets.tell("revoke_secret", secret_id=gone["id"])
        made = sorted((secrets.create(name="active")["id"] for _ in range(3)), reverse=True)
        secrets.wait(hours=2)

        newest = secrets.ask("list_newest", actor=MEMBER, limit=2)

        assert [one["id"] for one in newest["active"]] == made[:2]
        assert {one["state"] for one in newest["others"]} == {"expired", "revoked"}


class TestGetSecret:
    def test_gives_what_the_list_does_and_nothing_of_another_org(self, secrets):
        made = secrets.create()

        assert [secrets.ask("get_secret", actor=MEMBER, secret_id=made["id"])] == secrets.ask("list_secrets")
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.ask("get_secret", actor=STRANGER, secret_id=made["id"])


class TestRevokeSecret:
    def test_ends_it_at_once_and_tells_the_others(self, secrets, value):
        answer = secrets.create(value)

        assert secrets.tell("revoke_secret", secret_id=answer["id"]) == {}

        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.verify(value)
        assert secrets.told()[-1] == (
            "secrets.SecretRevoked",
            {"org_id": "org_1", "secret_id": answer["id"], "reason": "person"},
        )

    def test_answers_the_same_for_a_revoked_one_and_records_nothing_more(self, secrets):
        answer = secrets.create()

        first = secrets.tell("revoke_secret", secret_id=answer["id"])
        again = secrets.tell("revoke_secret", secret_id=answer["id"])

        assert first == again
        assert [type for type, _ in secrets.told()] == ["secrets.SecretCreated", "secrets.SecretRevoked"]

    def test_lets_a_member_revoke_their_own_and_the_owner_all(self, secrets):
        own, other = secrets.create(actor=MEMBER), secrets.create(actor=MEMBER)

        secrets.tell("revoke_secret", actor=MEMBER, secret_id=own["id"])
        secrets.tell("revoke_secret", actor=OWNER, secret_id=other["id"])

        assert {one["state"] for one in secrets.ask("list_secrets")} == {"revoked"}

    def test_does_not_let_a_member_revoke_anothers(self, secrets, value):
        answer = secrets.create(value)

        with pytest.raises(errors.Forbidden, match="not_allowed"):
            secrets.tell("revoke_secret", actor=MEMBER, secret_id=answer["id"])

        assert secrets.verify(value)["secret_id"] == answer["id"]

    @pytest.mark.parametrize("actor", [STRANGER, replace(MEMBER, org_id="org_2")])
    def test_does_not_know_one_of_another_org(self, secrets, value, actor):
        answer = secrets.create(value)

        with pytest.raises(errors.NotFound, match="unknown_secret"):
            secrets.tell("revoke_secret", actor=actor, secret_id=answer["id"])

        assert secrets.verify(value)["secret_id"] == answer["id"]


def test_each_secret_has_a_stream_that_names_its_org(secrets):
    answer = secrets.create()

    with secrets.database.begin() as session:
        event = session.scalars(select(tables.Event)).one()

    assert event.stream == f"secret-org_1-{answer['id']}"
    assert events.subject_of(event.stream) == "org_1"
    assert json.loads(event.data)["secret_id"] == answer["id"]
