"""Reading usage over HTTP: pages of it, a file, and streams that tell it as it changes."""

import csv
import io
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ops import client
from sandbox import ports
from services.accounts.events import OrgErased
from shared import erasures, store
from tests.quota.erasures import ORGS
from tests.stack import figures
from tests.stack.listeners import Listener
from tests.stack.stacks import CHATNESS, Org, Running, eventually
from tests.stack.surfer import Surfer

NOT_FOUND = 3
LOOKS = {"method": "quota.watch_usage"}


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    org = stack.sign_up()
    assert [org.send(f"msg_{number}").status_code for number in range(5)] == [201] * 5
    assert org.program.ask("DELETE", "/v1/messages/msg_4").status_code == 204
    return org


@pytest.fixture
def open_streams() -> Iterator[ExitStack]:
    with ExitStack() as streams:
        yield streams


def listen(streams: ExitStack, url: str, token: str) -> Listener:
    listener = Listener(url, token)
    streams.callback(listener.close)
    return listener


class TestStatement:
    def test_is_the_same_in_pages_and_as_a_file_and_ends_at_the_months_count(self, org: Org) -> None:
        period, paged, cursor = org.usage()["period"], [], ""
        while cursor is not None:
            query = f"limit=3&period={period}" + (f"&cursor={cursor}" if cursor else "")
            page = org.program.ask("GET", f"/v1/usage/statement?{query}").json()
            paged += page["data"]
            cursor = page["next_cursor"]

        file = org.program.ask("GET", "/v1/usage/statement", headers={"Accept": "text/csv"})

        rows = list(csv.DictReader(io.StringIO(file.text)))
        assert [{name: "" if value is None else str(value) for name, value in one.items()} for one in paged] == rows
        assert [one["kind"] for one in paged][-6:] == ["message"] * 5 + ["refund"]
        assert paged[-1]["used"] == org.usage()["used"] == 4
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert file.headers["Content-Disposition"] == f'attachment; filename="chatness-usage-{period}.csv"'

    def test_has_cursors_of_its_month_only(self, org: Org) -> None:
        cursor = org.program.ask("GET", "/v1/usage/statement?limit=1").json()["next_cursor"]

        answer = org.program.ask("GET", f"/v1/usage/statement?period=2020-01&cursor={cursor}")

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


class TestThePage:
    def test_shows_days_bots_and_the_forecast_and_leads_to_the_statement(self, org: Org) -> None:
        surfer, usage = Surfer(org), org.usage()

        page = surfer.see("/usage").text

        today = org.program.ask("GET", "/v1/usage/daily").json()["data"][-1]
        assert f'<th scope="row">{today["day"]}</th><td>{today["messages"]}</td><td>1</td>' in page
        assert f'<th scope="row">Charles</th><td>{today["messages"]}</td><td>1</td>' in page
        assert "At the pace of the last days" in page
        link = f"/usage/statement.csv?period={usage['period']}"
        assert f'href="{link}"' in page
        file = surfer.see(link)
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert file.text == org.program.ask("GET", "/v1/usage/statement", headers={"Accept": "text/csv"}).text

    def test_knows_no_month_that_there_was_not(self, org: Org) -> None:
        surfer = Surfer(org)

        assert [surfer.see(f"/usage?period={period}").status_code for period in ("2020-01", "x")] == [404, 422]


class TestPeriod:
    @pytest.mark.parametrize("path", ["/v1/usage", "/v1/usage/daily", "/v1/usage/statement"])
    def test_is_a_month_and_one_that_there_is(self, org: Org, path: str) -> None:
        answers = [org.program.ask("GET", f"{path}?period={period}") for period in ("2026-1", "2026-00", "2020-01")]

        assert [(one.status_code, one.json()["code"]) for one in answers] == [
            *[(422, "invalid_fields")] * 2,
            (404, "unknown_period"),
        ]

    def test_has_days_that_add_up(self, org: Org) -> None:
        (day,) = org.program.ask("GET", "/v1/usage/daily").json()["data"]

        assert (day["bot_id"], day["messages"], day["refunded"]) == (org.bot_id, 5, 1)
        assert day["day"].startswith(org.usage()["period"])


class TestStream:
    def test_tells_all_listeners_by_one_look_a_second(
        self, stack: Running, org: Org, open_streams: ExitStack
    ) -> None:
        gateway = [stack.processes["gateway"]]
        before, began = figures.read(gateway), time.monotonic()
        listeners = [listen(open_streams, stack.url, org.program.token) for _ in range(20)]
        assert {listener.status() for listener in listeners} == {200}
        first = [listener.usage() for listener in listeners]
        assert org.send("msg_heard").status_code == 201
        second = [listener.usage() for listener in listeners]
        looks = figures.read(gateway).since(before, "chatness_rpc_calls_total", **LOOKS)

        assert first == [first[0]] * 20
        assert second == [org.usage()] * 20
        assert second[0]["used"] == first[0]["used"] + 1
        assert looks <= time.monotonic() - began + 3

    def test_tells_of_the_own_org_only(self, stack: Running, org: Org, open_streams: ExitStack) -> None:
        other, used = stack.sign_up(), org.usage()["used"]
        ours, theirs = (listen(open_streams, stack.url, one.program.token) for one in (org, other))
        assert [ours.status(), theirs.status()] == [200, 200]
        assert [ours.usage()["used"], theirs.usage()["used"]] == [used, 0]

        assert [other.send("msg_1").status_code, org.send("msg_ours").status_code] == [201, 201]

        assert [ours.usage()["used"], theirs.usage()["used"]] == [used + 1, 1]

    def test_ends_at_once_when_its_secret_is_revoked(self, org: Org, second_url: str) -> None:
        secret = org.owner.ask("POST", "/v1/secrets", {"name": "listener", "scopes": ["usage:read"]}).json()
        here, there = (Listener(url, secret["secret"]) for url in (org.stack.url, second_url))
        assert [here.status(), there.status()] == [200, 200]
        began = time.monotonic()

        assert org.owner.ask("DELETE", f"/v1/secrets/{secret['id']}").status_code == 204

        assert [len(list(stream.events())) <= 1 for stream in (here, there)] == [True, True]
        assert time.monotonic() - began < 5
        assert Listener(org.stack.url, secret["secret"]).status() == 401

    def test_is_refused_without_the_scope_or_to_whoever_takes_no_events(self, org: Org) -> None:
        secret = org.owner.ask("POST", "/v1/secrets", {"name": "blind", "scopes": ["bots:read"]}).json()["secret"]
        blind = org.owner.with_token(secret)

        assert blind.ask("GET", "/v1/usage/stream").json()["code"] == "insufficient_scope"
        deaf = org.program.ask("GET", "/v1/usage/stream", headers={"Accept": "application/json"})
        assert (deaf.status_code, deaf.json()["code"]) == (406, "not_acceptable")

    def test_leaves_room_for_others_and_ends_with_its_gateway(
        self, stack: Running, org: Org, open_streams: ExitStack
    ) -> None:
        port = str(ports.free())
        settings = {"CHATNESS_PORT": port, "CHATNESS_CONNECTIONS": "5"}
        gateway = stack.add("gateway for streams", *CHATNESS, "serve", "gateway", **settings)
        gateway.await_ready()
        url = f"http://127.0.0.1:{port}"
        first, second, third = (listen(open_streams, url, org.program.token) for _ in range(3))

        assert sorted(listener.status() for listener in (first, second, third)) == [200, 200, 503]
        assert client.Api(url, org.program.token).ask("GET", "/v1/usage").status_code == 200
        began = time.monotonic()
        gateway.stop()

        assert time.monotonic() - began < 5
        assert gateway.child is not None
        assert gateway.child.returncode == 0


class TestAnErasedOrg:
    def test_has_no_usage_once_accounts_tells_of_it_and_quota_says_when_all_is_gone(self, stack: Running) -> None:
        org = stack.sign_up()
        assert org.send("msg_1").status_code == 201

        with stack.database("accounts").begin() as session:
            head = store.head(session, f"org-{org.id}", ORGS)
            store.append(session, head, ORGS, [OrgErased(org_id=org.id)])

        done = "SELECT 1 FROM log WHERE stream = :stream"
        stream = erasures.stream(org.id)
        eventually(lambda: stack.rows("quota", done, stream=stream), "quota has not told that the org is erased")
        looked = [org.owner.ask("GET", path) for path in ("/v1/usage", "/v1/usage/statement", "/v1/credits")]
        assert [(answer.status_code, answer.json()["code"]) for answer in looked] == [(404, "erased")] * 3
        assert stack.run("quota", "explain", org.id).returncode == NOT_FOUND
        assert stack.run("events", "verify", "--service", "quota").returncode == 0
