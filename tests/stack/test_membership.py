"""Others come into an org and go, over HTTP and in the page, and both gateways know it."""

import re
import time
from typing import Any

import pytest
import requests

from ops import client
from sandbox import mail
from shared import ids
from tests.stack.stacks import PASSWORD, READY_SECONDS, Org, Running, eventually
from tests.stack.surfer import Surfer


def new_address() -> str:
    return f"guest{time.time_ns()}@example.com"


def invited(org: Org, email: str) -> str:
    """The token in the mail."""
    answer = org.owner.ask("POST", "/v1/org/invitations", {"email": email})
    assert answer.status_code == 201, answer.text
    return mailed(org.stack, email)


def mailed(stack: Running, email: str) -> str:
    def token() -> str | None:
        letters = [one for one in mail.read(stack.mail_folder) if "/invitation?token=" in one["text"]]
        return client.token_in(letters, to=email)

    found: str = eventually(token, "no invitation came")
    return found


def joined(org: Org, email: str) -> client.Api:
    """Somebody new, signed in to the org."""
    new = {"token": invited(org, email), "name": "Guest", "password": PASSWORD}
    accepted = patiently(org, "/v1/invitation-acceptances", new)
    assert accepted.status_code == 200, accepted.text
    signed_in = patiently(org, "/v1/sessions", {"email": email, "password": PASSWORD})
    assert signed_in.status_code == 201, signed_in.text
    return org.stack.api.with_token(signed_in.json()["token"])


def patiently(org: Org, path: str, body: dict[str, str]) -> requests.Response:
    """
    A machine that is busy with other tests may not hash a password in time: 503 says to ask again, with the same key.
    A session that began behind such an answer is not shown a second time, so each try to sign in has its own.
    """
    key = ids.new("test")

    def ask() -> list[requests.Response]:
        headers = {} if path == "/v1/sessions" else {"Idempotency-Key": key}
        answer = org.stack.api.ask("POST", path, body, headers=headers)
        waits = answer.status_code == 503 or answer.json().get("code") == "idempotency_in_progress"
        return [] if waits else [answer]

    (answer,) = eventually(ask, f"{path} is away", seconds=READY_SECONDS)
    return answer


def who(api: client.Api) -> dict[str, Any]:
    return dict(api.ask("GET", "/v1/whoami").json())


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


class TestOverHttp:
    def test_a_member_reaches_bots_and_no_billing(self, org: Org) -> None:
        guest = joined(org, new_address())

        assert who(guest)["role"] == "member"
        assert guest.ask("GET", "/v1/bots").status_code == 200
        refused = [guest.ask("GET", path) for path in ("/v1/subscription", "/v1/invoices", "/v1/org/invitations")]
        assert {(one.status_code, one.json()["code"]) for one in refused} == {(403, "owner_only")}

    def test_who_is_removed_is_out_at_once_at_every_gateway_and_their_secret_stays(
        self, org: Org, second_url: str
    ) -> None:
        guest = joined(org, new_address())
        elsewhere = client.Api(second_url, guest.token)
        made = guest.ask("POST", "/v1/secrets", {"name": "theirs", "scopes": ["usage:read"]}).json()["secret"]
        assert elsewhere.ask("GET", "/v1/bots").status_code == 200

        removed = org.owner.ask("DELETE", f"/v1/org/members/{who(guest)['id']}")

        assert removed.status_code == 204
        assert guest.ask("GET", "/v1/bots").status_code == 401
        eventually(lambda: elsewhere.ask("GET", "/v1/bots").status_code == 401, "still let in", seconds=2)
        assert guest.with_token(made).ask("GET", "/v1/usage").status_code == 200

    def test_who_hands_over_reaches_no_billing_any_more(self, stack: Running, second_url: str) -> None:
        org = stack.sign_up()
        guest = joined(org, new_address())
        elsewhere = client.Api(second_url, org.owner.token)
        assert elsewhere.ask("GET", "/v1/subscription").status_code == 200

        successor = {"account_id": who(guest)["id"], "password": PASSWORD}
        assert org.owner.ask("PUT", "/v1/org/owner", successor).status_code == 200

        assert org.owner.ask("GET", "/v1/subscription").status_code == 403
        eventually(lambda: elsewhere.ask("GET", "/v1/subscription").status_code == 403, "still let in", seconds=2)
        assert guest.ask("GET", "/v1/subscription").status_code == 200

    def test_another_org_begins_on_free_and_a_token_acts_in_one(self, stack: Running) -> None:
        org = stack.sign_up()
        founded = org.owner.ask("POST", "/v1/orgs", {"name": "Another"})
        assert founded.status_code == 201, founded.text

        switched = org.owner.ask("PUT", "/v1/sessions/current/org", {"org_id": founded.json()["id"]})

        assert switched.status_code == 200, switched.text
        other = org.owner.with_token(switched.json()["token"])
        assert org.owner.ask("GET", "/v1/whoami").status_code == 401
        assert other.ask("GET", "/v1/bots").json()["data"] == []
        eventually(lambda: other.ask("GET", "/v1/usage").json().get("limit") == 200, "no plan came")


class TestInThePage:
    def test_the_owner_invites_withdraws_hands_over_and_leaves(self, stack: Running) -> None:
        org, email = stack.sign_up(), new_address()
        guest, surfer = joined(org, email), Surfer(org)

        assert surfer.send("/account/org/invitations", page="/account/org", email=email).status_code == 409
        asked = surfer.send("/account/org/invitations", page="/account/org", email=new_address())
        shown = surfer.see("/account/org").text
        withdraw = re.search(r'action="(/account/org/invitations/[^"]+/withdraw)"', shown)
        assert (asked.status_code, bool(withdraw)) == (303, True)
        assert withdraw
        assert surfer.send(withdraw[1], page="/account/org").status_code == 303
        assert "its link does not work any more" in surfer.see("/account/org").text

        successor = {"page": "/account/org", "account_id": who(guest)["id"]}
        assert surfer.send("/account/org/owner", **successor, password="not this one").status_code == 403
        assert surfer.send("/account/org/owner", **successor, password=PASSWORD).status_code == 303
        assert "Leave this organization" in surfer.see("/account/org").text
        assert surfer.send("/account/org/leave", page="/account/org").status_code == 303
        assert "You have left the organization" in surfer.see("/account/org").text
        assert who(guest)["role"] == "owner"

    def test_the_owner_removes_founds_and_switches(self, stack: Running) -> None:
        org = stack.sign_up()
        guest, surfer = joined(org, new_address()), Surfer(org)

        remove = f"/account/org/members/{who(guest)['id']}/remove"
        assert surfer.send(remove, page="/account/org").status_code == 303
        assert guest.ask("GET", "/v1/whoami").status_code == 401
        assert surfer.send("/account/orgs", page="/account/org", name="Looms").status_code == 303
        switch = re.search(r'action="(/account/orgs/[^"]+/switch)"', surfer.see("/account/org").text)
        assert switch
        assert surfer.send(switch[1], page="/account/org").status_code == 303
        assert "You act in Looms now." in surfer.see("/account/org").text

    def test_the_link_asks_who_is_new_for_a_name_and_who_is_not_to_sign_in(self, stack: Running, org: Org) -> None:
        known = stack.sign_up()
        visitor, member = Surfer(org), Surfer(known)
        links = {email: f"/invitation?token={invited(org, email)}" for email in (new_address(), known.email)}
        new, old = links.values()

        assert "Good until" in visitor.see("/account/org").text
        assert visitor.send("/invitation", page=new, token=new.partition("=")[2]).status_code == 403
        assert stack.api.ask("GET", new).text.count('name="password"') == 1
        assert "/sign-in?next=%2Finvitation%3Ftoken%3D" in stack.api.ask("GET", old).text
        assert member.send("/invitation", page=old, token=old.partition("=")[2]).headers["Location"] == "/account/org"
        assert "You have joined" in member.see("/account/org").text
        assert visitor.see("/invitation?token=x").status_code == 422
