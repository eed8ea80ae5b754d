"""What the owner sees of the org's API secrets: each thing once, with who did it, and of nobody else's."""

from dataclasses import replace

import pytest

from services.gateway import api_secret
from services.secrets import projections
from shared import context, errors
from tests.activity import is_made_again, pages, who_may
from tests.secrets.conftest import MEMBER, OWNER, STRANGER

SIGNED_IN = replace(OWNER, session_id="ses_1")


def seen(secrets, actor=OWNER, **asked):
    found = secrets.ask("list_activity", actor=actor, **asked)
    return [(one["what"], one["actor"]["id"], one["subject"]["name"], one["details"]) for one in found]


def step(secrets, method, **asked):
    secrets.wait(minutes=1)
    return getattr(secrets, method)(**asked) if hasattr(secrets, method) else secrets.tell(method, **asked)


class TestListActivity:
    def test_tells_what_became_of_a_secret_and_who_did_it(self, secrets):
        made = secrets.create(actor=SIGNED_IN)
        step(secrets, "rotate", secret_id=made["id"], overlap_seconds=0)
        step(secrets, "revoke_secret", secret_id=made["id"])
        [_, rotated, created] = secrets.ask("list_activity")

        assert seen(secrets) == [
            ("secret_revoked", OWNER.id, "Website", {"reason": "person"}),
            ("secret_rotated", OWNER.id, "Website", {"former_until": "2026-11-22T12:01:00Z"}),
            ("secret_created", OWNER.id, "Website", {"scopes": ["messages:write"], "expires_at": None}),
        ]
        assert created["actor"] == {"kind": "person", "id": OWNER.id, "session_id": "ses_1"}
        assert created["subject"]["id"] == made["id"]
        assert rotated["actor"]["session_id"] == ""

    def test_says_that_a_leak_was_reported_by_anyone(self, secrets):
        value = api_secret.generate()
        secrets.create(value)
        secrets.wait(minutes=1)
        leak = {"sha256": api_secret.fingerprint(value), "url": "https://paste.example/canary"}

        secrets.tell("report_leaks", actor=context.ANYONE, leaks=[leak])

        assert seen(secrets)[0] == ("secret_revoked", "", "Website", {"reason": "leaked"})

    def test_is_turned_page_by_page_though_all_happened_at_the_same_moment(self, secrets):
        made = [secrets.create()["id"] for _ in range(7)]

        found = pages(secrets.doors, OWNER, limit=3)

        assert len(found) == 7
        assert {one["subject"]["id"] for one in found} == set(made)
        assert [one["id"] for one in found] == sorted((one["id"] for one in found), reverse=True)

    def test_shows_no_other_orgs(self, secrets):
        secrets.create()

        assert secrets.ask("list_activity", actor=STRANGER) == []

    def test_is_for_the_owner_alone(self, secrets):
        assert who_may(secrets.doors, "org_1") == {"owner"}

    @pytest.mark.parametrize("before", [[], ["2026-11-22T12:00:00Z"], ["noon", "evt_1"], ["2026-11-22", "evt_1"]])
    def test_refuses_a_place_that_is_none(self, secrets, before):
        with pytest.raises(errors.Invalid, match="invalid_cursor"):
            secrets.ask("list_activity", before=before)

    def test_is_made_again_by_a_rebuild(self, secrets):
        made = secrets.create(actor=MEMBER)
        secrets.rotate(made["id"])
        secrets.tell("revoke_secret", secret_id=made["id"])
        secrets.create(actor=STRANGER)

        assert is_made_again(secrets.database, "secrets", projections.READ_MODELS)


class TestNameSecrets:
    def test_gives_the_names_of_ones_own_the_revoked_too_and_of_no_others(self, secrets):
        ours, theirs = secrets.create()["id"], secrets.create(actor=STRANGER)["id"]
        secrets.tell("revoke_secret", secret_id=ours)

        found = secrets.ask("name_secrets", secret_ids=[ours, theirs, "sec_nobodys", f"leak-{theirs}"])

        assert found == {ours: "Website"}
        assert secrets.ask("name_secrets", secret_ids=[]) == {}
