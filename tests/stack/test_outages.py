"""A part is away: exact answers meanwhile, and nobody restarts anything when it is back."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests

from ops import processes
from tests.stack import figures
from tests.stack.stacks import Org, Private, Process, Running, eventually
from tests.stack.surfer import Surfer

pytestmark = pytest.mark.timeout(120)

ANSWER_SECONDS = 2.0
RECOVERY_SECONDS = 30


@pytest.fixture(scope="module")
def org(private: Private) -> Org:
    org = private.stack.sign_up()
    org.subscribe("starter", limit=2000)
    return org


Ask = Callable[[Org], requests.Response]
ROUTES: dict[str, Ask] = {
    "a message": lambda org: org.send("msg_during"),
    "usage": lambda org: org.owner.ask("GET", "/v1/usage"),
    "the activity": lambda org: org.owner.ask("GET", "/v1/activity"),
    "a bot": lambda org: org.owner.ask("PATCH", f"/v1/bots/{org.bot_id}", {"name": "Charles"}),
    "a sign-in": lambda org: org.stack.api.ask("POST", "/v1/sessions", {"email": org.email, "password": "wrong"}),
    "a secret": lambda org: org.owner.ask("POST", "/v1/secrets", {"name": "another"}),
    "a change of plan": lambda org: org.owner.ask("DELETE", "/v1/subscription/scheduled-change"),
    "a webhook": lambda org: org.stack.api.ask("POST", "/v1/stripe/webhook", {}),
}
QUOTAS_ROUTES = ("a message", "usage", "the activity", "a bot")


def assert_away(answer: requests.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.elapsed.total_seconds() < ANSWER_SECONDS


def assert_pages_say_so(surfer: Surfer) -> None:
    """The page that is about what is away is not there, soon; the others are, without it."""
    home, account = surfer.see("/"), surfer.see("/account")
    billing, preview = surfer.see("/billing"), surfer.see("/billing/change?plan=free&at=now")
    assert (home.status_code, home.headers["Retry-After"]) == (503, "1")
    assert "A part of Chatness is away" in home.text
    assert home.elapsed.total_seconds() < ANSWER_SECONDS
    assert account.status_code == 200
    assert "not known now" in account.text
    assert (billing.status_code, preview.status_code) == (200, 200)
    assert "Cancel the subscription" in preview.text
    assert "cannot be said just now" in preview.text


WORKERS_DATABASES = {f"database {service}" for service in processes.SERVICES}


def assert_shows_what_is_away(process: Process, well: str, *, away: set[str]) -> None:
    """It lives, is not ready and says why, and has no figures that nobody could read."""
    ready = figures.ask(process, "/readyz")
    assert ready.status_code == 503
    assert {part for part in away if ready.json()[part]} == set()
    assert ready.json()[well]
    assert figures.ask(process, "/livez").status_code == 200
    found = figures.read([process])
    assert found.of("chatness_ready", part="database quota") == 0
    assert "chatness_outbox_events" not in found.names()


def works(org: Org, message_id: str) -> bool:
    """Whether everybody answers again, and a message is counted."""
    asked = [ask(org).status_code for name, ask in ROUTES.items() if name != "a message"]
    return 503 not in asked and org.send(message_id).status_code == 201


@contextmanager
def nobody_restarts(stack: Running) -> Iterator[None]:
    """All processes of the stack live through this."""
    yield
    assert [process.name for process in stack.processes.values() if not process.lives] == []


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands still and keeps its connections open."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class TestWithoutRabbitMQ:
    def test_every_route_answers_503_soon_and_works_again_when_it_is_back(self, private: Private, org: Org) -> None:
        with nobody_restarts(private.stack):
            private.rabbitmq.kill()
            for ask in ROUTES.values():
                assert_away(ask(org))
            gateway = private.stack.processes["gateway"]
            eventually(lambda: figures.ask(gateway, "/readyz").status_code == 503, "the gateway does not say so")
            assert figures.ask(gateway, "/readyz?part=running").status_code == 200  # it answers, as we saw
            private.rabbitmq.start()

            eventually(lambda: works(org, "msg_after_rabbitmq"), "it did not recover", seconds=RECOVERY_SECONDS)

    def test_that_answers_nobody_routes_answer_503_soon(self, private: Private, org: Org) -> None:
        assert private.rabbitmq.pid is not None
        with nobody_restarts(private.stack):
            with frozen(private.rabbitmq.pid):
                for name in ("a message", "a bot", "a change of plan"):
                    assert_away(ROUTES[name](org))

            eventually(lambda: works(org, "msg_after_frost"), "it did not recover", seconds=RECOVERY_SECONDS)


class TestWithoutPostgreSQL:
    def test_every_route_answers_503_soon_and_works_again_when_it_is_back(self, private: Private, org: Org) -> None:
        with nobody_restarts(private.stack):
            private.postgres.kill()
            for name, ask in ROUTES.items():
                if name != "a webhook":  # without a signature it is refused before there is anything to store
                    assert_away(ask(org))
            assert_shows_what_is_away(private.stack.processes["quota"], "rpc", away={"database quota"})
            assert_shows_what_is_away(private.stack.processes["worker"], "rabbitmq", away=WORKERS_DATABASES)
            private.postgres.start()

            eventually(lambda: works(org, "msg_after_postgres"), "it did not recover", seconds=RECOVERY_SECONDS)


class TestWithoutQuota:
    def test_its_routes_answer_503_soon_and_the_others_work(self, private: Private, org: Org) -> None:
        quota, surfer = private.stack.processes["quota"], Surfer(org)
        quota.kill()
        try:
            for name, ask in ROUTES.items():
                if name in QUOTAS_ROUTES:
                    assert_away(ask(org))
                else:
                    assert ask(org).status_code != 503, name
            assert_pages_say_so(surfer)
        finally:
            quota.restart()

        assert works(org, "msg_after_quota")

    def test_a_change_of_plan_is_made_and_says_that_it_does_not_count_yet(self, private: Private, org: Org) -> None:
        quota = private.stack.processes["quota"]
        quota.kill()
        try:
            canceled = org.owner.ask("DELETE", "/v1/subscription")
        finally:
            quota.restart()

        assert (canceled.status_code, canceled.json()["limits_applied"]) == (200, False)
        assert org.owner.ask("DELETE", "/v1/subscription/scheduled-change").json()["limits_applied"] is True

    def test_the_message_that_was_refused_is_counted_once_when_asked_again(self, private: Private, org: Org) -> None:
        quota = private.stack.processes["quota"]
        used = org.usage()["used"]
        quota.kill()
        try:
            refused = org.program.ask("POST", "/v1/messages", {"bot_id": org.bot_id})
        finally:
            quota.restart()

        admitted = [org.send(refused.json()["id"]) for _ in range(2)]

        assert [answer.status_code for answer in admitted] == [201, 201]
        assert org.usage()["used"] == used + 1


class TestWithoutBilling:
    def test_a_change_of_plan_is_refused_at_once_and_not_when_stripe_would_have_been_given_up(
        self, private: Private, org: Org
    ) -> None:
        services, surfer = private.stack.processes["services"], Surfer(org)
        change = "/billing/change?plan=growth&at=now"
        form = surfer.form(change)
        org.usage()  # the gateway remembers for some seconds whose session it is; accounts is away too
        services.kill()
        try:
            # Only a call that was on its way when the process died has to wait for its deadline.
            eventually(lambda: org.stack.api.ask("GET", "/v1/plans").status_code == 503)
            refused = ROUTES["a change of plan"](org)
            unsure = surfer.post(change, form)
        finally:
            services.restart()

        assert_away(refused)
        assert unsure.status_code == 503
        assert "We do not know yet whether it was made" in unsure.text
        assert form["command_id"] in unsure.text
        assert works(org, "msg_after_billing")


class TestAWorkerThatIsKilled:
    @pytest.fixture
    def worker(self, private: Private) -> Process:
        return private.stack.processes["worker"]

    def test_after_the_commit_publishes_when_it_starts_again_once(
        self, private: Private, org: Org, worker: Process
    ) -> None:
        resets = len(private.stack.events("quota", "quota.QuotaReset", org.id))
        worker.pause()
        changed = org.change_plan("growth")
        worker.kill()
        assert (changed.status_code, changed.json()["limits_applied"]) == (200, False)
        assert (org.subscription()["plan"], org.usage()["limit"]) == ("growth", 2000)

        worker.restart()

        eventually(lambda: org.usage()["limit"] == 10000, "the event was lost")
        assert len(private.stack.events("quota", "quota.QuotaReset", org.id)) == resets + 1

    def test_and_a_broker_that_restarts_meanwhile_lose_nothing(
        self, private: Private, org: Org, worker: Process
    ) -> None:
        worker.kill()
        changed = org.change_plan("scale")
        assert changed.status_code == 200, changed.text
        private.rabbitmq.stop()
        private.rabbitmq.start()
        eventually(lambda: works(org, "msg_after_restart"), "it did not recover", seconds=RECOVERY_SECONDS)
        assert (changed.json()["limits_applied"], org.usage()["limit"]) == (False, 10000)

        worker.restart()

        eventually(lambda: org.usage()["limit"] == 100_000, "the event was lost", seconds=RECOVERY_SECONDS)
        changes = private.stack.events("quota", "quota.LimitChanged", org.id)
        assert len(changes) == len({bytes(change.data) for change in changes})
