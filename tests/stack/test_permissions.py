"""What is not yours does not exist, what is revoked ends at once, and a scope is a wall."""

import re
from typing import Any

import pytest

from ops import client
from sandbox import mail
from tests.stack.stacks import PASSWORD, Org, Running, eventually


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture(scope="module")
def stranger(stack: Running) -> Org:
    return stack.sign_up()


def new_secret(org: Org, *scopes: str) -> dict[str, Any]:
    answer = org.owner.ask("POST", "/v1/secrets", {"name": "a program", "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


class TestWhatIsNotYours:
    @pytest.mark.parametrize(
        "method, path, body",
        [
            ("GET", "/v1/bots/{bot}", None),
            ("PATCH", "/v1/bots/{bot}", {"name": "Mine"}),
            ("POST", "/v1/bots/{bot}/pause", None),
            ("DELETE", "/v1/bots/{bot}", None),
            ("DELETE", "/v1/secrets/{secret}", None),
            ("POST", "/v1/secrets/{secret}/rotation", {"overlap_seconds": 0}),
            ("GET", "/v1/messages/{message}", None),
            ("DELETE", "/v1/messages/{message}", None),
        ],
    )
    def test_answers_as_what_does_not_exist(
        self, org: Org, stranger: Org, method: str, path: str, body: dict[str, str] | None
    ) -> None:
        org.send("msg_of_the_org")
        theirs = {"bot": org.bot_id, "secret": org.secret_id, "message": "msg_of_the_org"}
        nobodys = {"bot": "bot_nobodys", "secret": "sec_nobodys", "message": "msg_nobodys"}

        answers = [stranger.owner.ask(method, path.format(**ids), body) for ids in (theirs, nobodys)]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json()["code"] == answers[1].json()["code"]
        assert org.bots() == [("Charles", "running")]
        assert org.program.ask("GET", "/v1/usage").status_code == 200

    def test_sends_no_message(self, org: Org, stranger: Org) -> None:
        answer = stranger.program.ask("POST", "/v1/messages", {"bot_id": org.bot_id})

        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_bot")

    def test_may_have_a_message_id_that_another_org_has_used(self, org: Org, stranger: Org) -> None:
        assert org.send("msg_of_both").status_code == 201

        assert stranger.send("msg_of_both").json()["bot_id"] == stranger.bot_id


class TestASecret:
    @pytest.mark.parametrize(
        "scope, method, path, body",
        [
            ("bots:read", "POST", "/v1/messages", {"bot_id": "bot_1"}),
            ("messages:write", "GET", "/v1/usage", None),
            ("messages:write", "DELETE", "/v1/messages/msg_1", None),
            ("usage:read", "GET", "/v1/bots", None),
            ("bots:read", "POST", "/v1/bots", {"name": "Luigi"}),
            ("messages:write", "GET", "/v1/secrets", None),
            ("messages:write", "POST", "/v1/secrets/sec_1/rotation", {}),
            ("messages:write", "GET", "/v1/subscription", None),
            ("messages:write", "GET", "/v1/account", None),
        ],
    )
    def test_is_refused_beyond_its_scope(
        self, org: Org, scope: str, method: str, path: str, body: dict[str, str] | None
    ) -> None:
        program = org.owner.with_token(new_secret(org, scope)["secret"])

        assert program.ask(method, path, body).status_code == 403

    def test_that_is_revoked_is_refused_at_once_by_every_gateway(self, org: Org, second_url: str) -> None:
        secret = new_secret(org, "usage:read")
        here, there = (client.Api(url, secret["secret"]) for url in (org.stack.url, second_url))
        assert [api.ask("GET", "/v1/usage").status_code for api in (here, there)] == [200, 200]

        assert org.owner.ask("DELETE", f"/v1/secrets/{secret['id']}").status_code == 204

        assert here.ask("GET", "/v1/usage").status_code == 401
        eventually(lambda: there.ask("GET", "/v1/usage").status_code == 401, "still believed elsewhere", seconds=2)


class TestASession:
    def test_that_is_signed_out_is_refused(self, stack: Running) -> None:
        leaver = stack.sign_up()
        assert leaver.owner.ask("GET", "/v1/account").status_code == 200

        assert leaver.owner.ask("DELETE", "/v1/sessions/current").status_code == 204

        answer = leaver.owner.ask("GET", "/v1/account")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")

    def test_ends_with_the_password_it_began_with(self, stack: Running) -> None:
        forgetful, new = stack.sign_up(), "nine white egrets sleep"
        assert stack.api.ask("POST", "/v1/password-resets", {"email": forgetful.email}).status_code == 202
        link = eventually(lambda: newest_link(stack, forgetful.email, "/reset-password?token="), "no link came")

        answer = stack.api.ask("PUT", "/v1/password-resets", {"token": link.partition("=")[2], "password": new})

        assert (answer.status_code, answer.content) == (204, b"")
        assert forgetful.owner.ask("GET", "/v1/account").status_code == 401
        by_password = [
            stack.api.ask("POST", "/v1/sessions", {"email": forgetful.email, "password": one})
            for one in (PASSWORD, new)
        ]
        assert [answer.status_code for answer in by_password] == [401, 201]


def newest_link(stack: Running, email: str, path: str) -> str:
    """The link to that page in the newest mail to the address; empty if another mail is the newest."""
    mails = [one for one in mail.read(stack.mail_folder) if one["to"] == email]
    found = re.search(rf"^{re.escape(stack.url + path)}\S+", mails[-1]["text"], re.MULTILINE)
    return found[0] if found else ""
