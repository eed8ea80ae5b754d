"""The org's activity over HTTP and in the page: what somebody did is there, with who they are and with what."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as NotSeen

from tests.stack import browser
from tests.stack.stacks import PASSWORD, Org, Running, eventually
from tests.stack.surfer import Surfer
from tests.stack.test_leaving import GONE_SECONDS, is_erased, leave, let_the_time_pass
from tests.stack.test_membership import joined, new_address, who

SERVICES = ("accounts", "billing", "secrets", "quota")


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


def activity(org: Org, *, limit: int = 100) -> list[dict[str, Any]]:
    """All of it, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = org.owner.ask("GET", f"/v1/activity?limit={limit}{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        assert len(page["data"]) == limit
        cursor = f"&cursor={page['next_cursor']}"


def newest(org: Org, what: str) -> dict[str, Any]:
    return next((one for one in activity(org) if one["what"] == what), {})


class TestOverHttp:
    def test_shows_who_did_what_in_which_session_or_with_which_secret(self, org: Org) -> None:
        me = who(org.owner)
        made = org.owner.ask(
            "POST", "/v1/secrets", {"name": "a program", "scopes": ["bots:write", "bots:read"]}
        ).json()
        program = org.owner.with_token(made["secret"])

        assert program.ask("PATCH", f"/v1/bots/{org.bot_id}", {"name": "Babbage"}).status_code == 200
        assert org.owner.ask("POST", f"/v1/bots/{org.bot_id}/pause").status_code == 200
        assert program.ask("POST", f"/v1/bots/{org.bot_id}/resume").status_code == 200
        assert org.owner.ask("DELETE", f"/v1/secrets/{made['id']}").status_code == 204

        found = activity(org)
        assert [one["what"] for one in found][:5] == [
            *("secret_revoked", "bot_resumed", "bot_paused", "bot_renamed", "secret_created")
        ]
        by_me = {**found[0]["actor"], "session_id": None}
        assert by_me == {"kind": "person", "id": me["id"], "name": "Ada", "session_id": None}
        assert found[0]["actor"]["session_id"] in current_session(org)
        with_it = {"kind": "secret", "id": made["id"], "name": "a program", "session_id": None}
        assert [one["actor"] for one in found[1:4]] == [with_it, found[0]["actor"], with_it]
        assert found[3]["subject"] == {"kind": "bot", "id": org.bot_id, "name": "Babbage"}
        assert found[4]["details"]["scopes"] == ["bots:read", "bots:write"]
        assert sorted(one["at"] for one in found) == sorted(one["at"] for one in activity(org, limit=2))

    def test_shows_each_thing_once_however_short_the_pages(self, org: Org) -> None:
        whole = activity(org)

        assert len(whole) > 4
        assert activity(org, limit=1) == activity(org, limit=3) == whole

    def test_shows_what_follows_by_itself_as_the_systems(self, stack: Running) -> None:
        org = stack.sign_up()
        org.subscribe("starter", limit=2000)

        upgraded, asked = newest(org, "subscription_upgraded"), newest(org, "subscription_change_requested")
        reset = eventually(lambda: newest(org, "usage_reset"), "no reset is shown")

        assert asked["actor"]["kind"] == "person"
        assert {upgraded["actor"]["kind"], reset["actor"]["kind"]} == {"system"}
        assert upgraded["details"]["plan"] == "starter"

    def test_is_refused_to_members_programs_and_nobody(self, org: Org) -> None:
        member = joined(org, new_address())

        answers = [one.ask("GET", "/v1/activity") for one in (member, org.program, org.stack.api)]

        assert [(one.status_code, one.json()["code"]) for one in answers] == [
            (403, "owner_only"),
            (403, "not_allowed"),
            (401, "token_required"),
        ]

    def test_shows_nothing_to_another_org_and_opens_with_no_cursor_of_ours(self, stack: Running, org: Org) -> None:
        stranger = stack.sign_up()
        cursor = org.owner.ask("GET", "/v1/activity?limit=1").json()["next_cursor"]

        answer = stranger.owner.ask("GET", f"/v1/activity?cursor={cursor}")

        assert {one["id"] for one in activity(org)} & {one["id"] for one in activity(stranger)} == set()
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")

    def test_calls_a_former_member_nothing_and_the_new_owner_sees_it(self, stack: Running) -> None:
        org = stack.sign_up()
        guest = joined(org, new_address())
        joining = newest(org, "member_joined")
        assert (joining["subject"]["name"], joining["actor"]["kind"]) == ("Guest", "anyone")
        successor = {"account_id": who(guest)["id"], "password": PASSWORD}
        assert org.owner.ask("PUT", "/v1/org/owner", successor).status_code == 200
        assert org.owner.ask("GET", "/v1/activity").status_code == 403
        former = who(org.owner)["id"]
        assert guest.ask("DELETE", f"/v1/org/members/{former}").status_code == 204

        [removed, handed_over, *_] = guest.ask("GET", "/v1/activity").json()["data"]

        assert (removed["what"], removed["subject"]["name"]) == ("member_removed", None)
        assert (handed_over["actor"]["id"], handed_over["actor"]["name"]) == (former, None)
        assert handed_over["subject"]["name"] == "Guest"

    def test_of_an_org_that_is_erased_leaves_no_row(self, stack: Running) -> None:
        org = stack.sign_up()
        org.subscribe("starter", limit=2000)
        account_id = who(org.owner)["id"]
        counted = "SELECT 1 FROM activity WHERE org_id = :id"
        assert [bool(stack.rows(service, counted, id=org.id)) for service in SERVICES] == [True] * 4

        leave(org)
        let_the_time_pass(org)
        eventually(lambda: is_erased(stack, account_id), "the account was not erased", seconds=GONE_SECONDS)

        assert [stack.rows(service, counted, id=org.id) for service in SERVICES] == [[]] * 4
        done = stack.run("projections", "rebuild", "--execute", *SERVICES)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [stack.rows(service, counted, id=org.id) for service in SERVICES] == [[]] * 4


def current_session(org: Org) -> list[str]:
    answer = org.owner.ask("GET", "/v1/sessions").json()
    return [one["id"] for one in answer["data"] if one["current"]]


def sign_in(visitor: browser.Visitor, org: Org) -> None:
    """As a person does whom a busy machine tells to try again."""
    for _ in range(5):
        visitor.go("/account/org")
        if visitor.page.locator("[name=password]").count():
            visitor.fill(email=org.email, password=PASSWORD)
            visitor.submit("Sign in")
        with suppress(NotSeen):
            visitor.text("See the activity")
            return
    visitor.text("See the activity")


class TestInThePage:
    def test_the_owner_reads_it_in_sentences_and_turns_the_pages(self, stack: Running) -> None:
        org = stack.sign_up()
        with browser.browser() as chromium:
            visitor = browser.Visitor(chromium, stack.url)
            sign_in(visitor, org)
            visitor.follow("See the activity")
            visitor.text("The bot Charles was created")
            visitor.text("by you")
            visitor.text("The organization was founded")
            visitor.look("activity")
            for _ in range(25):
                assert org.owner.ask("POST", f"/v1/bots/{org.bot_id}/pause").status_code == 200
                assert org.owner.ask("POST", f"/v1/bots/{org.bot_id}/resume").status_code == 200
            visitor.go("/account/activity")
            visitor.text("The bot Charles was resumed")
            visitor.follow("Older")
            visitor.text("The organization was founded")
            visitor.look("activity-older")
            visitor.follow("Newest")
            visitor.text("The bot Charles was resumed")

            assert visitor.complaints == []

    def test_is_refused_to_a_member_and_with_a_broken_link(self, org: Org) -> None:
        surfer = Surfer(org)

        assert surfer.see("/account/activity").status_code == 200
        assert surfer.see("/account/activity?cursor=x").status_code == 400
        assert surfer.see(f"/account/activity?cursor={'x' * 2000}").status_code == 400
        email = new_address()
        joined(org, email)
        member = Surfer(replace(org, email=email))
        assert member.see("/account/activity").status_code == 403
        assert "See the activity" not in member.see("/account/org").text
