"""An org that operators suspend and restore while it is used, on a whole stack with two gateways."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from ops import client, processes
from tests.infrastructure import NewDatabase
from tests.stack import browser
from tests.stack.stacks import PASSWORD, SCOPES, Org, Running, eventually, standing, temporary_directory
from tests.stack.test_leaving import leave
from tests.stack.traces import dump, found_in

NOTICED_SECONDS = 2
WHY = ("--reason", "ticket 12", "--by", "grace@night", "--execute", "--json")
KILLED_AT = ("outbox.sequenced", "relay.published", "inbox.applied", "inbox.committed", "inbox.applied:2")


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture(scope="module")
def at_once(new_database: NewDatabase, new_vhost: Callable[[], str]) -> Iterator[Running]:
    """A stack without a cooling-off time, whose worker the tests may kill."""
    urls = {f"{name.upper()}_DATABASE_URL": new_database() for name in processes.SERVICES}
    with temporary_directory() as directory, standing(directory, urls={**urls, "AMQP_URI": new_vhost()}) as running:
        running.add_composed("mail", "stripe", "services", "gateway", ACCOUNTS_COOLING_OFF_HOURS="0")
        running.add_composed("worker")
        running.await_ready()
        yield running


def order(stack: Running, org: Org, command: str, *words: str) -> dict[str, Any]:
    done = stack.run("org", command, org.id, *words, *WHY)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def suspend(stack: Running, org: Org, cause: str = "abuse") -> dict[str, Any]:
    return order(stack, org, "suspend", "--cause", cause)


def restore(stack: Running, org: Org) -> dict[str, Any]:
    return order(stack, org, "restore")


def send(program: client.Api, bot_id: str) -> tuple[int, str]:
    answer = program.ask("POST", "/v1/messages", {"bot_id": bot_id})
    return answer.status_code, answer.json().get("code", "")


STOPPED = (403, "org_suspended")


def is_stopped(program: client.Api, org: Org) -> bool:
    return send(program, org.bot_id) == STOPPED


def goes_on(program: client.Api, org: Org) -> bool:
    return send(program, org.bot_id)[0] == 201


def await_known(stack: Running, org: Org, *, suspended: bool) -> None:
    """Each service has heard the last word."""
    for service in processes.SERVICES:
        heard = partial(is_as, stack, org, service, suspended=suspended)
        eventually(heard, f"{service} does not know", seconds=60)


def is_as(stack: Running, org: Org, service: str, *, suspended: bool) -> bool:
    return bool(stack.rows(service, "SELECT 1 FROM suspended WHERE org_id = :id", id=org.id)) == suspended


@contextmanager
def in_use(programs: list[client.Api], bot_id: str) -> Iterator[set[tuple[int, str]]]:
    """Each program sends one message after the other; what they were answered."""
    answers: set[tuple[int, str]] = set()
    stopping = threading.Event()

    def go_on(program: client.Api) -> None:
        while not stopping.wait(0.05):
            answers.add(send(program, bot_id))

    threads = [threading.Thread(target=go_on, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def write_something(org: Org) -> dict[str, tuple[int, str]]:
    """What each route answers that may be refused to a suspended org."""
    asked: dict[tuple[str, str], Any] = {
        ("POST", "/v1/bots"): {"name": "Luigi"},
        ("PATCH", f"/v1/bots/{org.bot_id}"): {"name": "Luigi"},
        ("POST", f"/v1/bots/{org.bot_id}/pause"): None,
        ("POST", f"/v1/bots/{org.bot_id}/resume"): None,
        ("DELETE", f"/v1/bots/{org.bot_id}"): None,
        ("POST", "/v1/secrets"): {"name": "another"},
        ("POST", f"/v1/secrets/{org.secret_id}/rotation"): {"overlap_seconds": 0},
        ("POST", "/v1/org/invitations"): {"email": "eve@example.com"},
        ("PATCH", "/v1/org"): {"name": "Else"},
        ("PUT", "/v1/org/owner"): {"account_id": "acc_nobody", "password": PASSWORD},
        ("POST", "/v1/orgs"): {"name": "Another"},
        ("PUT", "/v1/subscription"): {"plan": "starter"},
        ("DELETE", "/v1/subscription/scheduled-change"): None,
    }
    answers = {f"{method} {path}": org.owner.ask(method, path, body) for (method, path), body in asked.items()}
    return {name: (answer.status_code, answer.json().get("code", "")) for name, answer in answers.items()}


def read_everything(org: Org) -> dict[str, int]:
    paths = (
        *("/v1/account", "/v1/org", "/v1/orgs", "/v1/org/members", "/v1/org/invitations", "/v1/sessions"),
        *("/v1/bots", f"/v1/bots/{org.bot_id}", "/v1/secrets", "/v1/usage", "/v1/usage/daily", "/v1/credits"),
        *("/v1/usage/statement", "/v1/subscription", "/v1/plans", "/v1/whoami"),
    )
    return {path: org.owner.ask("GET", path).status_code for path in paths}


class TestAnOrgInUse:
    def test_is_stopped_at_every_gateway_at_once_and_goes_on_when_it_is_restored(
        self, stack: Running, second_url: str
    ) -> None:
        org, other = stack.sign_up(), stack.sign_up()
        programs = [org.program, client.Api(second_url, org.program.token)]
        before = org.bots(), org.owner.ask("GET", "/v1/org").json()
        with in_use([other.program], other.bot_id) as others, in_use(programs, org.bot_id) as answers:
            eventually(lambda: (201, "") in answers, "nothing was sent")
            suspend(stack, org)
            for program in programs:
                eventually(partial(is_stopped, program, org), "it still sends", seconds=NOTICED_SECONDS)
            used = org.usage()["used"]
            assert {send(program, org.bot_id) for program in programs * 5} == {STOPPED}
            restored_from = org.usage()["used"]

            restore(stack, org)

            for program in programs:
                eventually(partial(goes_on, program, org), "it does not send", seconds=NOTICED_SECONDS)
        assert used == restored_from
        assert answers <= {(201, ""), STOPPED}
        assert others == {(201, "")}
        assert (org.bots(), org.owner.ask("GET", "/v1/org").json()) == before

    def test_ends_as_the_last_word_says_however_often_it_changes(self, stack: Running, org: Org) -> None:
        for _ in range(3):
            assert suspend(stack, org)["changed"]
            assert not suspend(stack, org, "fraud")["changed"]
            assert restore(stack, org)["changed"]
            assert not restore(stack, org)["changed"]
        last = suspend(stack, org, "legal")["suspension"]

        eventually(lambda: is_stopped(org.program, org), "it still sends")
        assert (last["cause"], last["reason"], last["by"]) == ("legal", "ticket 12", "grace@night")
        told = [event.name for event in stack.events("accounts", "accounts.OrgSuspended", org.id)]
        assert len(told) == 4
        restore(stack, org)
        eventually(lambda: goes_on(org.program, org), "it does not send")


class TestItsPeople:
    def test_can_look_and_leave_and_change_what_is_their_own_and_nothing_else(self, stack: Running) -> None:
        org = stack.sign_up()
        secret = org.owner.ask("POST", "/v1/secrets", {"name": "second", "scopes": SCOPES}).json()
        since = suspend(stack, org)["suspension"]["suspended_at"]
        await_known(stack, org, suspended=True)

        refused = write_something(org)
        read = read_everything(org)

        assert {name: answer for name, answer in refused.items() if answer != STOPPED} == {}
        assert {path: status for path, status in read.items() if status != 200} == {}
        assert org.owner.ask("GET", "/v1/org").json()["suspended_at"] == since
        assert stack.api.ask("POST", "/v1/sessions", {"email": org.email, "password": PASSWORD}).status_code == 201
        assert org.owner.ask("PATCH", "/v1/account", {"name": "Ada L"}).status_code == 200
        assert org.owner.ask("DELETE", f"/v1/secrets/{secret['id']}").status_code == 204
        assert org.program.ask("GET", "/v1/usage").status_code == 200
        assert org.owner.ask("POST", "/v1/account/deletion", {"password": PASSWORD}).status_code == 202
        assert org.owner.ask("DELETE", "/v1/account/deletion").status_code == 204

    def test_see_on_every_page_that_it_is_and_what_still_works(self, stack: Running) -> None:
        org = stack.sign_up()
        suspend(stack, org)
        with browser.browser() as chromium:
            visitor = browser.Visitor(chromium, stack.url)
            visitor.go("/sign-in")
            visitor.fill(email=org.email, password=PASSWORD)
            visitor.submit("Sign in")
            visitor.text("Engines is suspended since")
            visitor.look("suspended")
            visitor.fill(name="Luigi")
            visitor.press("Create bot")
            visitor.text("write to support")
            visitor.look("suspended-refused")
            for path in ("/usage", "/billing", "/secrets", "/account", "/account/org", "/account/leaving"):
                visitor.go(path)
                visitor.text("Engines is suspended since")
            restore(stack, org)
            visitor.go("/")
            visitor.heading("Bots")
            assert visitor.page.get_by_text("is suspended since").count() == 0
            assert visitor.complaints == []


class TestAWorkerThatIsKilled:
    def test_again_and_again_ends_as_the_last_word_says(self, at_once: Running) -> None:
        org, worker = at_once.sign_up(), at_once.processes["worker"]
        for number, place in enumerate(KILLED_AT):
            worker.kill()
            (restore if number % 2 else suspend)(at_once, org)
            worker.environment["CHATNESS_FAIL_AT"] = place
            worker.start()
            eventually(lambda: not worker.lives, f"{place} was not reached", seconds=60)
            for service in processes.SERVICES:  # an event that is there at three deaths is parked
                at_once.rows(service, "UPDATE inbox SET attempts = 0 RETURNING 1")
            del worker.environment["CHATNESS_FAIL_AT"]
            worker.restart()
            await_known(at_once, org, suspended=not number % 2)

    def test_erases_a_suspended_org_and_leaves_nothing_of_it(self, at_once: Running) -> None:
        org = at_once.sign_up()
        canary = f"canary-of-{org.id}"
        done = at_once.run(
            *("org", "suspend", org.id, "--cause", "fraud", "--reason", canary, "--by", "grace", "--execute")
        )
        assert done.returncode == 0, done.stderr
        eventually(lambda: is_stopped(org.program, org), "it still sends")
        assert found_in(dump(at_once, "accounts"), (canary,)) == [canary]

        leave(org)

        await_known(at_once, org, suspended=False)
        assert found_in(dump(at_once, "accounts"), (canary,)) == []
        assert at_once.run("org", "show", org.id).returncode == 3
        assert at_once.run("org", "restore", org.id, *WHY).returncode == 3
