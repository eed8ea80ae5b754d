"""What holds for every route alike: done once, changed only as it was seen, whoever one claims to be."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import requests

from ops import client
from sandbox import ports
from services.gateway import api_secret, documentation
from shared import ids
from tests.stack.stacks import CHATNESS, PASSWORD, Org, Running, eventually

AT_ONCE = 8


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    """On a plan with room for bots, and a customer of Stripe."""
    org = stack.sign_up()
    org.subscribe("growth", limit=10_000)
    return org


@pytest.fixture(scope="module")
def operations(stack: Running) -> dict[str, dict[str, Any]]:
    document = stack.api.ask("GET", "/openapi.json").json()
    return {f"{method} {path}": operation for path, method, operation in documentation.operations(document)}


def key() -> dict[str, str]:
    return {"Idempotency-Key": ids.new("test")}


def at_once(ask: Callable[[int], requests.Response]) -> list[requests.Response]:
    ready = threading.Barrier(AT_ONCE)

    def wait_and_ask(number: int) -> requests.Response:
        ready.wait(10)
        return ask(number)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(wait_and_ask, range(AT_ONCE)))


@dataclass(frozen=True, kw_only=True)
class Post:
    """
    A POST that is asked twice.

    :param other: another body, which the same key does not stand for; None where there is no body
    :param repeated: the code of the refusal, where the first answer held what is never kept
    """

    body: Any = None
    other: Any = None
    status: int = 200
    repeated: str = ""
    prepare: Callable[[Org], None] = field(default=lambda _org: None)


def pause(org: Org) -> None:
    org.owner.ask("POST", f"/v1/bots/{org.bot_id}/pause")


def resume(org: Org) -> None:
    org.owner.ask("POST", f"/v1/bots/{org.bot_id}/resume")


LOST, OTHER = (api_secret.generate("test") for _ in range(2))
PERSON = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
POSTS = {
    "POST /v1/accounts": Post(body=PERSON, other={**PERSON, "name": "Eve"}, status=202),
    "POST /v1/sessions": Post(
        body={"email": "{email}", "password": PASSWORD}, status=201, repeated="session_already_created"
    ),
    "POST /v1/password-resets": Post(body={"email": "{email}"}, other={"email": "eve@example.com"}, status=202),
    "POST /v1/account/deletion": Post(body={"password": PASSWORD}, status=202),
    "POST /v1/bots": Post(body={"name": "Ada"}, other={"name": "Eve"}, status=201),
    "POST /v1/bots/{bot_id}/pause": Post(prepare=resume),
    "POST /v1/bots/{bot_id}/resume": Post(prepare=pause),
    "POST /v1/secrets": Post(
        body={"name": "one"}, other={"name": "other"}, status=201, repeated="secret_already_created"
    ),
    "POST /v1/secrets/{secret_id}/rotation": Post(
        body={"overlap_seconds": 3600}, other={"overlap_seconds": 60}, status=201, repeated="secret_already_rotated"
    ),
    "POST /v1/secret-leaks": Post(body=[{"token": LOST}], other=[{"token": OTHER}], status=202),
    "POST /v1/messages": Post(body={"bot_id": "{bot_id}"}, other={"bot_id": "bot_another"}, status=201),
    "POST /v1/billing-portal": Post(),
    "POST /v1/orgs": Post(body={"name": "Ada"}, other={"name": "Eve"}, status=201),
    "POST /v1/org/invitations": Post(
        body={"email": "guest@example.com"}, other={"email": "eve@example.com"}, status=201
    ),
}
# A token opens an account once, or undoes a change (`accounts/test_changing.py`), or lets somebody join
# (`accounts/test_invitations.py`); links of a deletion are in `test_leaving`; a preview changes nothing; what Stripe
# tells has ids (`test_webhooks`).
ELSEWHERE = {
    "POST /v1/invitation-acceptances",
    *("POST /v1/email-confirmations", "POST /v1/email-undos"),
    *("POST /v1/deletion-confirmations", "POST /v1/deletion-withdrawals"),
    *("POST /v1/subscription/preview", "POST /v1/stripe/webhook"),
}


def filled(value: Any, org: Org) -> Any:
    text = json.dumps(value)
    for name, known in (("email", org.email), ("bot_id", org.bot_id), ("secret_id", org.secret_id)):
        text = text.replace(f"{{{name}}}", known)
    return json.loads(text)


class TestIdempotencyKey:
    def test_is_tried_on_every_post_that_there_is(self, operations: dict[str, Any]) -> None:
        assert {*POSTS, *ELSEWHERE} == {name for name in operations if name.startswith("POST")}

    @pytest.mark.parametrize("name", POSTS)
    def test_gives_the_same_answer_again_and_refuses_another_body(self, org: Org, name: str) -> None:
        post, path = POSTS[name], filled(name.split()[1], org)
        post.prepare(org)
        headers, body = key(), filled(post.body, org)

        first, again = (org.owner.ask("POST", path, body, headers=headers) for _ in range(2))

        assert first.status_code == post.status, first.text
        if post.repeated:
            assert (again.status_code, again.json()["code"]) == (409, post.repeated)
        else:
            assert (again.status_code, again.json()) == (first.status_code, first.json())
            assert again.headers.get("Location") == first.headers.get("Location")
        if post.other is not None:
            other = org.owner.ask("POST", path, filled(post.other, org), headers=headers)
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    def test_does_it_once_however_many_ask_at_once_through_two_gateways(self, org: Org, second_url: str) -> None:
        headers, before = key(), len(org.bots())
        gateways = [org.owner, client.Api(second_url, org.owner.token)]

        answers = at_once(lambda number: gateways[number % 2].ask("POST", "/v1/bots", {"name": "B"}, headers=headers))

        made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
        assert len(made) == 1
        assert refused <= {"idempotency_in_progress"}
        assert len(org.bots()) == before + 1

    def test_forgets_a_refusal(self, org: Org) -> None:
        headers = key()
        assert org.owner.ask("POST", "/v1/bots", {"name": " "}, headers=headers).status_code == 422

        assert org.owner.ask("POST", "/v1/bots", {"name": "Grace"}, headers=headers).status_code == 201

    def test_is_each_callers_own(self, org: Org) -> None:
        headers = key()

        answers = [who.ask("POST", "/v1/bots", {"name": "Mine"}, headers=headers) for who in (org.owner, org.program)]

        assert len({answer.json()["id"] for answer in answers}) == 2

    @pytest.mark.parametrize("moment", ["at once", "when it is done"])
    def test_does_it_once_though_the_gateway_dies_before_it_answers(
        self, stack: Running, org: Org, moment: str
    ) -> None:
        port, headers, before = ports.free(), key(), len(org.bots())
        gateway = stack.add("gateway to die", *CHATNESS, "serve", "gateway", CHATNESS_PORT=str(port))
        gateway.await_ready()
        doomed = client.Api(f"http://127.0.0.1:{port}", org.owner.token)

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(doomed.ask, "POST", "/v1/bots", {"name": "Lazarus"}, headers=headers)
            if moment == "when it is done":
                eventually(lambda: len(org.bots()) > before)
            gateway.kill()
            first.exception(30)
        eventually(lambda: made_again(org, headers))

        assert len(org.bots()) == before + 1
        del stack.processes["gateway to die"]


def made_again(org: Org, headers: dict[str, str]) -> bool:
    answer = org.owner.ask("POST", "/v1/bots", {"name": "Lazarus"}, headers=headers)
    assert answer.status_code == 201 or answer.json()["code"] == "idempotency_in_progress"
    return answer.status_code == 201


# The route that shows the thing, and what the command sends.
CONDITIONAL: dict[str, tuple[str, Any]] = {
    "PATCH /v1/account": ("/v1/account", {"name": "Ada King"}),
    "PATCH /v1/org": ("/v1/org", {"tax_id": "GB 1"}),
    "PATCH /v1/bots/{bot_id}": ("/v1/bots/{bot_id}", {"name": "Charles B."}),
    "DELETE /v1/bots/{bot_id}": ("/v1/bots/{bot_id}", None),
    "PUT /v1/subscription": ("/v1/subscription", {"plan": "growth"}),
    "DELETE /v1/subscription": ("/v1/subscription", None),
    "DELETE /v1/subscription/scheduled-change": ("/v1/subscription", None),
}
# `test_pictures` has them: what they send is no JSON, and there must be one to be removed.
OF_PICTURES = {"PUT /v1/account/picture", "DELETE /v1/account/picture"}
# A token is used up there, or the present password is asked for, and nothing is shown that could have changed.
SPENT = {
    *("PUT /v1/password-resets", "PUT /v1/account/password", "PUT /v1/account/email"),
    *("PUT /v1/org/owner", "PUT /v1/sessions/current/org"),
}


class TestIfMatch:
    def test_is_tried_on_every_operation_that_looks_at_it(self, operations: dict[str, Any]) -> None:
        looking = {name for name, operation in operations.items() if "412" in operation["responses"]}

        assert looking == {*CONDITIONAL, *OF_PICTURES}
        assert looking | SPENT >= {name for name in operations if name.split()[0] in ("PATCH", "PUT")}

    @pytest.mark.parametrize("name", CONDITIONAL)
    def test_lets_nothing_be_changed_that_has_changed(self, org: Org, name: str) -> None:
        method, path = filled(name, org).split()
        shown_at, body = CONDITIONAL[name]
        before = org.owner.ask("GET", filled(shown_at, org))

        answer = org.owner.ask(method, path, body, headers={"If-Match": f'"{"0" * 32}"'})

        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert org.owner.ask("GET", filled(shown_at, org)).json() == before.json()

    @pytest.mark.parametrize("name", CONDITIONAL)
    def test_is_content_with_what_is_shown_now(self, org: Org, name: str) -> None:
        if name == "DELETE /v1/bots/{bot_id}":
            org = replace(org, bot_id=org.owner.ask("POST", "/v1/bots", {"name": "To go"}).json()["id"])
        method, path = filled(name, org).split()
        shown_at, body = filled(CONDITIONAL[name], org)
        tag = org.owner.ask("GET", shown_at).headers["ETag"]

        answer = org.owner.ask(method, path, body, headers={"If-Match": tag})

        assert answer.status_code in (200, 202, 204, 409), answer.text  # 409: for another reason
        if answer.status_code == 200 and "ETag" in answer.headers:
            assert answer.headers["ETag"] == org.owner.ask("GET", shown_at).headers["ETag"]

    def test_lets_one_of_many_through_who_have_seen_the_same(self, org: Org, second_url: str) -> None:
        seen = {"If-Match": org.owner.ask("GET", "/v1/org").headers["ETag"]}
        gateways = [org.owner, client.Api(second_url, org.owner.token)]

        answers = at_once(
            lambda number: gateways[number % 2].ask("PATCH", "/v1/org", {"name": f"Org {number}"}, headers=seen)
        )

        assert sorted(answer.status_code for answer in answers) == [200] + [412] * (AT_ONCE - 1)


SPOOFED = {
    "X-Forwarded-For": "198.51.100.66",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=198.51.100.66;host=evil.example;proto=gopher",
    "X-Original-URL": "/v1/evil",
    "X-HTTP-Method-Override": "DELETE",
    "Host": "evil.example",
}


class TestSpoofedHeaders:
    def test_change_no_answer_and_reach_no_log(self, stack: Running, org: Org) -> None:
        stranger = stack.sign_up()
        spoofed = {
            **SPOOFED,
            "X-User-Id": stranger.id,
            "X-Account-Id": stranger.id,
            "X-Org-Id": stranger.id,
            "X_Org_Id": stranger.id,
        }

        def answers(headers: dict[str, str]) -> list[Any]:
            asked = [
                org.owner.ask("GET", "/v1/whoami", headers=headers),
                org.owner.ask("GET", "/v1/org", headers=headers),
                org.owner.ask("GET", f"/v1/bots/{org.bot_id}", headers=headers),
                org.owner.ask("GET", "/v1/evil", headers=headers),
                org.program.ask("POST", "/v1/messages", {"bot_id": org.bot_id, "id": "msg_s"}, headers=headers),
            ]
            return [(one.status_code, one.headers.get("Location"), without_instance(one.json())) for one in asked]

        assert answers(spoofed) == answers({})
        logged = "".join(path.read_text() for path in (stack.directory / "logs").iterdir())
        assert "evil.example" not in logged
        assert "198.51.100.66" not in logged


def without_instance(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "instance"}


class TestCursor:
    def test_is_good_for_its_own_list_and_nothing_else(self, stack: Running, org: Org) -> None:
        org.owner.ask("POST", "/v1/secrets", {"name": "the second"})
        cursor = org.owner.ask("GET", "/v1/secrets?limit=1").json()["next_cursor"]
        stranger = stack.sign_up()

        answers = [
            org.owner.ask("GET", f"/v1/bots?cursor={cursor}"),
            stranger.owner.ask("GET", f"/v1/secrets?cursor={cursor}"),
            org.owner.ask("GET", f"/v1/secrets?cursor={cursor[:-1]}"),
            org.owner.ask("GET", f"/v1/secrets?cursor={cursor}A"),
            org.owner.ask("GET", f"/v1/secrets?cursor={cursor.swapcase()}"),
        ]

        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, "invalid_cursor")}
        assert org.owner.ask("GET", f"/v1/secrets?limit=1&cursor={cursor}").status_code == 200
