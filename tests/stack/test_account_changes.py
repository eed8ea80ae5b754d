"""Another password and another address on a whole stack: over the API, and in the page."""

import html
import time

import pytest
import requests

from ops import client
from sandbox import mail
from tests.stack.stacks import PASSWORD, Org, Running, eventually
from tests.stack.surfer import Surfer

NEW_PASSWORD = "nine white egrets sleep"


@pytest.fixture
def org(stack: Running) -> Org:
    return stack.sign_up()


def elsewhere() -> str:
    return f"moved-{time.time_ns()}@example.com"


def token_to(stack: Running, email: str, subject: str) -> str:
    """In the newest mail of this subject."""

    def find() -> str:
        mails = [one for one in mail.read(stack.mail_folder) if one["to"] == email and subject in one["subject"]]
        return mails[-1]["text"].partition("?token=")[2][:43] if mails else ""

    return eventually(find, f"no mail {subject!r} came")


def sign_in(org: Org, email: str, password: str = PASSWORD) -> int:
    def ask() -> int:
        status = org.stack.api.ask("POST", "/v1/sessions", {"email": email, "password": password}).status_code
        return 0 if status == 503 else status

    return eventually(ask)


class TestTheApi:
    def test_moves_an_account_to_another_address_and_back(self, stack: Running, org: Org) -> None:
        new = elsewhere()
        asked = org.owner.ask("PUT", "/v1/account/email", {"email": new, "current_password": PASSWORD})
        token = token_to(stack, new, "Confirm your new")
        confirmed = stack.api.ask("POST", "/v1/email-confirmations", {"token": token})
        way_back = token_to(stack, org.email, "was changed")
        shown = org.owner.ask("GET", "/v1/account").json()["email"]
        undone = stack.api.ask("POST", "/v1/email-undos", {"token": way_back})

        assert (asked.status_code, asked.json()) == (202, {})
        assert (confirmed.status_code, confirmed.json()["account"]["email"], shown) == (200, new, new)
        assert undone.status_code == 204
        assert org.owner.ask("GET", "/v1/account").status_code == 401
        assert (sign_in(org, new), sign_in(org, org.email)) == (401, 401)
        reset = token_to(stack, org.email, "Set a new password")
        body = {"token": reset, "password": NEW_PASSWORD}
        assert stack.api.ask("PUT", "/v1/password-resets", body).status_code == 204
        assert sign_in(org, org.email, NEW_PASSWORD) == 201
        told = stack.rows("accounts", "SELECT data::text FROM events WHERE name = 'accounts.EmailChanged'")
        assert told
        assert "@" not in str(told)

    def test_changes_the_password_and_ends_the_other_sessions(self, stack: Running, org: Org) -> None:
        other = stack.api.ask("POST", "/v1/sessions", {"email": org.email, "password": PASSWORD}).json()["token"]
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

        changed = org.owner.ask("PUT", "/v1/account/password", body)

        assert changed.status_code == 204, changed.text
        assert org.owner.ask("GET", "/v1/account").status_code == 200
        assert client.Api(stack.url, other).ask("GET", "/v1/account").status_code == 401
        assert (sign_in(org, org.email), sign_in(org, org.email, NEW_PASSWORD)) == (401, 201)

    def test_says_what_is_wrong(self, org: Org) -> None:
        wrong = {"current_password": PASSWORD + "!"}

        refused = [
            org.owner.ask("PUT", "/v1/account/password", {**wrong, "new_password": NEW_PASSWORD}),
            org.owner.ask("PUT", "/v1/account/email", {**wrong, "email": elsewhere()}),
            org.owner.ask("PUT", "/v1/account/email", {"email": org.email, "current_password": PASSWORD}),
            org.stack.api.ask("POST", "/v1/email-undos", {"token": "x" * 43}),
            org.program.ask("PUT", "/v1/account/password", {**wrong, "new_password": NEW_PASSWORD}),
        ]

        assert [(one.status_code, one.json()["code"]) for one in refused] == [
            (403, "wrong_password"),
            (403, "wrong_password"),
            (409, "email_unchanged"),
            (422, "invalid_token"),
            (403, "not_allowed"),
        ]


class TestMailedLinks:
    def test_lead_to_our_own_address_whatever_the_request_calls_us(self, stack: Running, org: Org) -> None:
        foreign = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

        asked = stack.api.ask("POST", "/v1/password-resets", {"email": org.email}, headers=foreign)

        token_to(stack, org.email, "Set a new password")
        text = [one["text"] for one in mail.read(stack.mail_folder) if one["to"] == org.email][-1]
        assert asked.status_code == 202
        assert f"{stack.url}/reset-password?token=" in text
        assert "evil.example" not in text

    def test_are_good_after_a_mail_program_has_looked_at_them(self, stack: Running, org: Org) -> None:
        stack.api.ask("POST", "/v1/password-resets", {"email": org.email})
        token = token_to(stack, org.email, "Set a new password")
        for _ in range(3):
            assert requests.get(f"{stack.url}/reset-password?token={token}", timeout=10).status_code == 200

        answer = stack.api.ask("PUT", "/v1/password-resets", {"token": token, "password": NEW_PASSWORD})

        assert answer.status_code == 204


class TestThePage:
    def test_shows_what_people_typed_as_text(self, org: Org) -> None:
        script = "<script>alert(1)</script>"
        shown = html.escape(script)
        for method, path, body in (
            ("PATCH", "/v1/account", {"name": script}),
            ("PATCH", "/v1/org", {"name": script, "legal_name": script, "address": script}),
            ("POST", "/v1/secrets", {"name": script}),
            ("PATCH", f"/v1/bots/{org.bot_id}", {"name": script}),
        ):
            assert org.owner.ask(method, path, body).status_code in (200, 201)
        surfer = Surfer(org)

        pages = {path: surfer.see(path).text for path in ("/", "/account", "/account/org", "/secrets", "/usage")}

        assert [path for path, page in pages.items() if "alert(1)" in page.replace(shown, "")] == []
        assert all(shown in pages[path] for path in ("/", "/account", "/account/org", "/secrets"))

    def test_changes_nothing_by_looking(self, org: Org) -> None:
        """What changes something is a POST, and another method there is refused."""
        surfer = Surfer(org)
        before = surfer.see("/account").text.count("/end")

        statuses = {path: surfer.see(path).status_code for path in ("/sign-out", "/account/password-link")}

        assert set(statuses.values()) == {405}
        assert surfer.see("/account").text.count("/end") == before

    def test_changes_the_password(self, org: Org) -> None:
        surfer = Surfer(org)

        refused = surfer.send(
            "/account/password", page="/account", current_password=PASSWORD + "!", new_password=NEW_PASSWORD
        )
        changed = surfer.send(
            "/account/password", page="/account", current_password=PASSWORD, new_password=NEW_PASSWORD
        )

        assert refused.status_code == 403
        assert "This is not your password." in refused.text
        assert NEW_PASSWORD not in refused.text
        assert (changed.status_code, changed.headers["Location"]) == (303, "/account")
        assert "Your password is changed" in surfer.see("/account").text
        assert org.owner.ask("GET", "/v1/account").status_code == 401

    def test_changes_the_address_and_gives_it_back_by_buttons_only(self, stack: Running, org: Org) -> None:
        surfer, new = Surfer(org), elsewhere()
        asked = surfer.send("/account/email", page="/account", email=new, current_password=PASSWORD)
        token = token_to(stack, new, "Confirm your new")
        page = f"/change-email?token={token}"
        surfer.see(page)
        unchanged = org.owner.ask("GET", "/v1/account").json()["email"]
        changed = surfer.post("/change-email", surfer.form(page, "/change-email"), token=token)
        moved = new in surfer.see("/account").text
        way_back = token_to(stack, org.email, "was changed")
        page = f"/undo-email?token={way_back}"
        undone = surfer.post("/undo-email", surfer.form(page, "/undo-email"), token=way_back)
        again = surfer.post("/undo-email", surfer.form(page, "/undo-email"), token=way_back)

        assert (asked.status_code, unchanged) == (303, org.email)
        assert (changed.status_code, changed.headers["Location"], moved) == (303, "/account", True)
        assert (undone.status_code, undone.headers["Location"]) == (303, "/sign-in")
        assert (again.status_code, "This link does not work" in again.text) == (422, True)
        assert "/sign-in" in surfer.see("/account").url

    @pytest.mark.parametrize("path", ["/account/password", "/account/email"])
    def test_leads_back_when_it_is_reloaded(self, org: Org, path: str) -> None:
        assert Surfer(org).see(path).url == f"{org.stack.url}/account"
