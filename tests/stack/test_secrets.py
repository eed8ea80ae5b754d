"""API secrets on a whole stack with two gateways: rotated, reported, used and revoked."""

from typing import Any

import pytest

from ops import client
from sandbox import mail, ports
from services.gateway import api_secret
from tests.stack.stacks import CHATNESS, SCOPES, Org, Running, eventually


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


def new_secret(org: Org, **wish: Any) -> dict[str, Any]:
    answer = org.owner.ask("POST", "/v1/secrets", {"name": "a program", "scopes": SCOPES, **wish})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def rotate(org: Org, secret_id: str, **wish: int) -> dict[str, Any]:
    answer = org.owner.ask("POST", f"/v1/secrets/{secret_id}/rotation", wish)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def shown(org: Org, secret_id: str) -> dict[str, Any]:
    """The secret in the list."""
    listed = org.owner.ask("GET", "/v1/secrets?limit=100").json()["data"]
    (found,) = [one for one in listed if one["id"] == secret_id]
    return dict(found)


class TestARotation:
    def test_lets_both_values_count_against_one_quota_at_every_gateway(self, org: Org, second_url: str) -> None:
        made = new_secret(org)
        rotated = rotate(org, made["id"], overlap_seconds=3600)
        programs = [client.Api(url, one["secret"]) for url in (org.stack.url, second_url) for one in (made, rotated)]
        before = org.usage()["used"]

        answers = [program.ask("POST", "/v1/messages", {"bot_id": org.bot_id}) for program in programs]

        assert [answer.status_code for answer in answers] == [201] * 4
        assert [answer.json()["used"] for answer in answers] == [before + number for number in range(1, 5)]
        assert {program.ask("GET", "/v1/whoami").json()["id"] for program in programs} == {made["id"]}

    def test_ends_the_value_before_with_its_overlap_whatever_a_gateway_remembers(
        self, org: Org, second_url: str
    ) -> None:
        """Sooner than any memory would end: these last for half a minute."""
        made = new_secret(org)
        programs = [client.Api(url, made["secret"]) for url in (org.stack.url, second_url)]
        rotated = rotate(org, made["id"], overlap_seconds=3)
        eventually(
            lambda: [one.ask("GET", "/v1/usage").status_code for one in programs] == [401, 401],
            "still believed",
            seconds=10,
        )

        newer = [client.Api(url, rotated["secret"]) for url in (org.stack.url, second_url)]
        assert [one.ask("GET", "/v1/usage").status_code for one in newer] == [200, 200]
        assert shown(org, made["id"])["former"] is None

    def test_without_an_overlap_ends_it_at_once(self, org: Org, second_url: str) -> None:
        made = new_secret(org)
        here, there = (client.Api(url, made["secret"]) for url in (org.stack.url, second_url))
        assert [one.ask("GET", "/v1/usage").status_code for one in (here, there)] == [200, 200]

        rotate(org, made["id"], overlap_seconds=0)

        assert here.ask("GET", "/v1/usage").status_code == 401
        eventually(lambda: there.ask("GET", "/v1/usage").status_code == 401, "still believed elsewhere", seconds=2)

    def test_of_one_that_is_revoked_is_refused(self, org: Org) -> None:
        made = new_secret(org)
        assert org.owner.ask("DELETE", f"/v1/secrets/{made['id']}").status_code == 204

        answer = org.owner.ask("POST", f"/v1/secrets/{made['id']}/rotation", {})

        assert (answer.status_code, answer.json()["code"]) == (409, "secret_revoked")
        assert shown(org, made["id"])["revoked_reason"] == "person"

    @pytest.mark.parametrize("overlap", [-1, 604_801, 1.5, "60", None, True, 10**30])
    def test_has_an_overlap_of_up_to_seven_days(self, org: Org, overlap: Any) -> None:
        path = f"/v1/secrets/{org.secret_id}/rotation"

        answer = org.owner.ask("POST", path, {"overlap_seconds": overlap})

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")
        assert answer.json()["errors"][0]["pointer"] == "/overlap_seconds"


def report(stack: Running, *leaks: Any) -> Any:
    return stack.api.ask("POST", "/v1/secret-leaks", list(leaks))


class TestTheFirstValue:
    @pytest.mark.parametrize(
        "more",
        [{"org_id": "org_1"}, {"made_by": "acc_1"}, {"id": "sec_1"}, {"secret": "chs_live_1"}, {"is_admin": True}],
    )
    def test_is_not_made_with_what_nobody_may_choose(self, org: Org, more: dict[str, Any]) -> None:
        answer = org.owner.ask("POST", "/v1/secrets", {"name": "mine", **more})

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")
        assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(more))}"

    @pytest.mark.parametrize(
        "wish, pointer",
        [
            ({"name": "x" * 10_000}, "/name"),
            ({"name": ""}, "/name"),
            ({"scopes": []}, "/scopes"),
            ({"scopes": ["billing:write"]}, "/scopes/0"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
            ({"expires_at": "tomorrow"}, "/expires_at"),
        ],
    )
    def test_is_not_made_for_a_wish_that_cannot_be(self, org: Org, wish: dict[str, Any], pointer: str) -> None:
        answer = org.owner.ask("POST", "/v1/secrets", {"name": "mine", **wish})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer

    def test_in_an_address_lets_nobody_in(self, org: Org) -> None:
        secret, api = org.program.token, org.stack.api
        paths = [f"/v1/usage?token={secret}", f"/v1/usage?access_token={secret}", f"/v1/bots/{secret}"]

        answers = [api.ask("GET", path) for path in paths]

        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "token_required")}


class TestARevocation:
    def test_reaches_a_gateway_that_hears_nothing_as_soon_as_its_memory_ends(self, org: Org) -> None:
        """The worker that would tell of it stands still. By itself a gateway remembers for half a minute."""
        made, stack, port = new_secret(org), org.stack, str(ports.free())
        settings = {"CHATNESS_PORT": port, "CHATNESS_SECRET_CACHE_SECONDS": "5"}
        deaf = stack.add("deaf gateway", *CHATNESS, "serve", "gateway", **settings)
        deaf.await_ready()
        program = client.Api(f"http://127.0.0.1:{port}", made["secret"])
        stack.processes["worker"].pause()
        try:
            assert program.ask("GET", "/v1/usage").status_code == 200
            assert org.owner.ask("DELETE", f"/v1/secrets/{made['id']}").status_code == 204
            believed = program.ask("GET", "/v1/usage").status_code
            eventually(lambda: program.ask("GET", "/v1/usage").status_code == 401, "believed for ever", seconds=10)
        finally:
            stack.processes["worker"].resume()
            stack.processes.pop("deaf gateway").stop()

        assert believed == 200


class TestAUse:
    def test_is_shown_by_the_hour_and_leaves_no_event(self, org: Org, second_url: str) -> None:
        made = new_secret(org)
        assert shown(org, made["id"])["last_used_at"] is None

        for url in (org.stack.url, second_url) * 5:
            assert client.Api(url, made["secret"]).ask("GET", "/v1/usage").status_code == 200

        seen = eventually(lambda: shown(org, made["id"])["last_used_at"], "nobody was told")
        assert seen.endswith(":00:00Z")
        stream = f"%{made['id']}"
        assert len(org.stack.rows("secrets", "SELECT 1 FROM events WHERE stream LIKE :stream", stream=stream)) == 1

    def test_is_told_before_a_gateway_stops(self, org: Org) -> None:
        made, stack = new_secret(org), org.stack
        port = str(ports.free())
        passing = stack.add("gateway that passes", *CHATNESS, "serve", "gateway", CHATNESS_PORT=port)
        passing.await_ready()
        answer = client.Api(f"http://127.0.0.1:{port}", made["secret"]).ask("GET", "/v1/usage")
        assert answer.status_code == 200

        stack.processes.pop("gateway that passes").stop()

        assert shown(org, made["id"])["last_used_at"]


class TestALeak:
    def test_that_is_reported_by_anyone_is_refused_at_every_gateway_and_its_owner_mailed(
        self, org: Org, second_url: str
    ) -> None:
        made, stack = new_secret(org), org.stack
        programs = [client.Api(url, made["secret"]) for url in (stack.url, second_url)]
        assert [one.ask("GET", "/v1/usage").status_code for one in programs] == [200, 200]
        place = f"https://paste.example/?shown={made['secret']}"

        answer = report(stack, {"token": made["secret"], "url": place}, {"token": "no secret at all"})

        assert (answer.status_code, answer.json()) == (202, {})
        eventually(
            lambda: [one.ask("GET", "/v1/usage").status_code for one in programs] == [401, 401],
            "still believed",
            seconds=2,
        )
        seen = shown(org, made["id"])
        assert (seen["state"], seen["revoked_reason"], seen["leak_url"]) == (
            "revoked",
            "leaked",
            "https://paste.example/?shown=chs_…",
        )
        mailed = eventually(
            lambda: [one for one in mails(org) if "found in public" in one["subject"]], "no mail came"
        )
        assert [f"{stack.url}/secrets#{made['id']}" in one["text"] for one in mailed] == [True]

    def test_of_what_is_no_secret_gets_the_same_answer(self, org: Org) -> None:
        made = new_secret(org)
        org.owner.ask("DELETE", f"/v1/secrets/{made['id']}")
        reports = [made["secret"], made["secret"][:-1], api_secret.generate("test"), "x", org.owner.token]

        answers = [report(org.stack, {"token": token}) for token in reports]

        assert {(answer.status_code, answer.text) for answer in answers} == {(202, "{}")}
        assert org.owner.ask("GET", "/v1/account").status_code == 200

    @pytest.mark.parametrize(
        "body, pointer",
        [
            ([], ""),
            ([{"token": "x"}] * 101, ""),
            ({"token": "x"}, ""),
            ([{}], "/0/token"),
            ([{"token": ""}], "/0/token"),
            ([{"token": "x" * 1025}], "/0/token"),
            ([{"token": "x"}, {"token": 1}], "/1/token"),
            ([{"token": "x", "url": "javascript:alert(1)"}], "/0/url"),
            ([{"token": "x", "url": "https://paste.example/" + "x" * 2048}], "/0/url"),
            ([{"token": "x", "org_id": "org_1"}], "/0/org_id"),
            (["x"], "/0"),
        ],
    )
    def test_is_a_list_of_up_to_a_hundred(self, stack: Running, body: Any, pointer: str) -> None:
        answer = stack.api.ask("POST", "/v1/secret-leaks", body)

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")
        assert answer.json()["errors"][0]["pointer"] == pointer


def mails(org: Org) -> list[dict[str, Any]]:
    return [one for one in mail.read(org.stack.mail_folder) if one["to"] == org.email]
