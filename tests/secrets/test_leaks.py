"""A value that was found in public is ended at once, whoever reports it."""

import pytest

from services.gateway import api_secret
from shared import context, errors
from tests.secrets.conftest import GATEWAY, MEMBER, OWNER

URL = "https://paste.example/1"


@pytest.fixture
def value():
    return api_secret.generate()


def report(secrets, *values, url=URL, actor=context.ANYONE, **changes):
    leaks = [{"sha256": api_secret.fingerprint(value), "url": url} for value in values]
    return secrets.tell("report_leaks", actor=actor, leaks=leaks, **changes)


class TestReportLeaks:
    def test_revokes_the_secret_and_tells_why(self, secrets, value):
        made = secrets.create(value)

        assert report(secrets, value) == {}

        assert not secrets.is_known(value)
        shown = secrets.ask("get_secret", secret_id=made["id"])
        assert (shown["state"], shown["revoked_reason"], shown["leak_url"]) == ("revoked", "leaked", URL)
        assert secrets.told()[-1] == (
            "secrets.SecretRevoked",
            {"org_id": "org_1", "secret_id": made["id"], "reason": "leaked"},
        )

    def test_answers_the_same_for_what_is_no_secret_and_leaves_the_others(self, secrets, value):
        secrets.create(value)

        assert report(secrets, api_secret.generate(), api_secret.generate()) == {}

        assert secrets.is_known(value)
        assert len(secrets.told()) == 1

    def test_ends_all_of_a_list_each_once_however_often_it_is_reported(self, secrets):
        values = [api_secret.generate() for _ in range(3)]
        for value in values:
            secrets.create(value)

        for _ in range(2):
            report(secrets, *values, *values)

        assert [secrets.is_known(value) for value in values] == [False] * 3
        assert [type for type, _ in secrets.told()].count("secrets.SecretRevoked") == 3

    def test_ends_of_a_rotated_secret_only_the_value_that_was_found(self, secrets, value):
        newer = api_secret.generate()
        made = secrets.create(value)
        secrets.rotate(made["id"], newer)

        report(secrets, value)

        assert (secrets.is_known(value), secrets.is_known(newer)) == (False, True)
        shown = secrets.ask("get_secret", secret_id=made["id"])
        assert (shown["state"], shown["former"], shown["leak_url"]) == ("active", None, URL)
        assert secrets.told()[-1] == (
            "secrets.FormerValueEnded",
            {"org_id": "org_1", "secret_id": made["id"], "reason": "leaked"},
        )
        report(secrets, newer)
        assert not secrets.is_known(newer)

    def test_finds_those_that_are_kept_under_a_former_pepper(self, secrets, value):
        secrets.season("o" * 32)
        secrets.create(value)
        secrets.season("n" * 32, "o" * 32)

        report(secrets, value)

        assert not secrets.is_known(value)

    def test_changes_nothing_of_what_is_over(self, secrets, value):
        expiring = api_secret.generate()
        gone = secrets.create(value)
        secrets.create(expiring, expires_at="2026-11-22T13:00:00Z")
        secrets.tell("revoke_secret", secret_id=gone["id"])
        secrets.wait(hours=1)
        before = secrets.told()

        report(secrets, value, expiring)

        assert secrets.told() == before
        assert secrets.ask("get_secret", secret_id=gone["id"])["revoked_reason"] == "person"

    def test_needs_no_place_where_it_was_found(self, secrets, value):
        made = secrets.create(value)

        report(secrets, value, url="")

        assert secrets.ask("get_secret", secret_id=made["id"])["leak_url"] is None

    @pytest.mark.parametrize(
        "actor", [OWNER, MEMBER, GATEWAY, context.Actor(kind="secret", id="sec_1", org_id="org_2")]
    )
    def test_is_for_anyone(self, secrets, value, actor):
        secrets.create(value)

        report(secrets, value, actor=actor)

        assert not secrets.is_known(value)

    def test_is_for_each_key_one_report(self, secrets, value):
        report(secrets, value, command_id="cmd_once")
        with pytest.raises(errors.Invalid, match="idempotency_key_reused"):
            report(secrets, api_secret.generate(), command_id="cmd_once")
