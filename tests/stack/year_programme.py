"""
A simulated year of many orgs, by seed: people change, cancel and pay, others do so at Stripe, webhooks are lost and
come late, Stripe fails, processes are killed, and the clock goes on by hours and by weeks.

Now and then the faults stop, what was missed is made up for, and each org is held against the rules (`year_rules`).
The seed fixes what is done; how far each process has got by then differs from run to run.
"""

import itertools
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests

from ops import client
from services.billing import catalogue
from shared import clock
from tests.stack import stacks, year_books, year_rules
from tests.stack.stacks import Org, Running, eventually

HANDS = 4  # deeds at once
SIGNING_UP = 2  # each costs two hashes of a password, which are to be had in time
PATIENCE_SECONDS = 8.0  # of a person whose request is not served
QUIET_SECONDS = 120
LOOK_SECONDS = 0.1
LOOKS = 5  # until nothing happens at Stripe while we look
OK, NO_DIFFERENCE = 0, "no difference"  # of the command line
DAYS = 366

Work = Callable[[], None]


@dataclass
class Tenant:
    """
    An org with its owner, who signs in again where the clock has ended a session.

    :param pages: Checkout pages that were shown to the owner
    :param last: the last command, to be repeated with its key
    """

    year: "Year"
    org: Org
    session: str
    pages: list[str] = field(default_factory=list)
    last: tuple[str, str, Any, str] | None = None

    @property
    def customer_id(self) -> str:
        rows = self.year.stack.rows(
            "billing", "SELECT customer_id FROM customers WHERE org_id = :org", org=self.org.id
        )
        return (rows[0].customer_id if rows else "") or ""

    def tell(self, method: str, path: str, body: Any = None, *, key: str = "") -> requests.Response | None:
        """A command of the owner's; None if nobody served it while there was patience."""
        key = key or self.year.new_key()
        self.last = (method, path, body, key)
        return self.ask(method, path, body, headers={"Idempotency-Key": key})

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response | None:
        while True:
            answer = self.year.ask(self.session, method, path, body, **more)
            if answer is None or answer.status_code != 401 or not self._sign_in():
                return answer

    def use(self, method: str, path: str, body: Any = None) -> requests.Response | None:
        """As one of the org's programs."""
        return self.year.ask(self.org.program.token, method, path, body)

    def sees(self, path: str) -> Any:
        """What GET answers while everything is at work."""
        answer = eventually(lambda: self.ask("GET", path), f"{path} is not served", seconds=QUIET_SECONDS)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    def _sign_in(self) -> bool:
        answer = self.year.ask("", "POST", "/v1/sessions", {"email": self.org.email, "password": stacks.PASSWORD})
        if answer is None:
            return False
        assert answer.status_code == 201, answer.text
        self.session = answer.json()["token"]
        return True


@dataclass
class Year:
    """
    :param begins_at: the business time at which it begins
    :param done: how often each thing was done or happened; `answers`: the API's, by status and code
    :param given_up: requests that nobody served while there was patience
    :param made_up_for: how often an org differed, for want of a webhook, when it was compared before a check
    """

    stack: Running
    seed: int
    begins_at: datetime
    done: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    given_up: int = 0
    checks: int = 0
    made_up_for: int = 0
    round: int = 0
    tenants: list[Tenant] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _keys: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.plans = catalogue.load()
        self.stripe = year_books.Stripe(self.stack)
        self._documented = _documented(self.stack.api.ask("GET", "/openapi.json").json())
        self.stack.stripe("settings", {"after_dunning": self.chance.choice(["unpaid", "unpaid", "cancel"])})
        self.stack.clock.set(offset_seconds=(self.begins_at - clock.machine_time()).total_seconds())

    def now(self) -> datetime:
        return self.stack.clock.now()

    def days(self) -> float:
        """How many have gone by."""
        return (self.now() - self.begins_at) / timedelta(days=1)

    def go_on(self, by: timedelta) -> None:
        moved = self.now() + by - clock.machine_time()
        self.stack.clock.set(offset_seconds=moved.total_seconds())

    def new_key(self) -> str:
        return f"key-{self.seed}-{next(self._keys)}"

    def settle_in(self, orgs: int) -> None:
        """That many sign up, each with one bot, on Free."""

        def sign_up() -> None:
            org = self.stack.sign_up()
            self.tenants.append(Tenant(self, org, org.owner.token))

        self.all_hands([sign_up] * orgs, hands=SIGNING_UP)

    def play(self, deeds: Iterable[Work], meanwhile: Work) -> None:
        """One round."""
        self.round += 1
        self.all_hands(deeds, meanwhile)

    def all_hands(self, work: Iterable[Work], meanwhile: Work = lambda: None, *, hands: int = HANDS) -> None:
        left = deque(work)
        until = time.monotonic() + QUIET_SECONDS + 10 * len(left)
        threads = [threading.Thread(target=self._drain, args=[left]) for _ in range(hands)]
        for thread in threads:
            thread.start()
        meanwhile()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
            assert not thread.is_alive(), "somebody was never answered"
        if self.faults:
            raise AssertionError(f"seed {self.seed}, round {self.round}: {self.faults[0]}, of {len(self.faults)}")

    def _drain(self, work: deque[Work]) -> None:
        while True:
            try:
                work.popleft()()
            except IndexError:
                return
            except Exception as fault:  # noqa: BLE001  # a thread's own death would go unnoticed
                self.faults.append(repr(fault))

    def ask(self, token: str, method: str, path: str, body: Any = None, **more: Any) -> requests.Response | None:
        """
        Again, with the same key, until it is served or patience ends.

        :raises AssertionError: for an answer that the API's description does not have
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = client.Api(self.stack.url, token).ask(method, path, body, **more)
                self._note(method, path, answer)
                if answer.status_code != 503:
                    return answer
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                self.answers["none"] += 1
            if time.monotonic() > deadline:
                self.given_up += 1
                return None
            time.sleep(0.1)

    def _note(self, method: str, path: str, answer: requests.Response) -> None:
        code = answer.json().get("code", "") if answer.content and not answer.ok else ""
        self.answers[f"{answer.status_code} {code}".strip()] += 1
        asked = f"{method} {path}"
        assert answer.status_code in (503, *range(500)), f"{asked}: {answer.status_code} {answer.text}"
        for pattern, statuses in self._documented:
            if pattern.fullmatch(asked.partition("?")[0]):
                assert answer.status_code in statuses, f"{asked}: {answer.status_code} {answer.text}"
                return
        raise AssertionError(f"{asked} is not described")

    def check(self) -> None:
        """
        When nothing is under way any more, everybody's books agree.

        :raises AssertionError: naming the seed, the round, the org, and the first difference
        """
        self.stop_faults()
        for _ in range(LOOKS):
            told = self._become_quiet()
            at_stripe = self.stripe.by_org()
            found = [(tenant.org.id, self._difference(tenant, at_stripe)) for tenant in self.tenants]
            if self.stripe.told() == told:
                break
        differences = [f"{org_id}: {difference}" for org_id, difference in found if difference]
        where = f"seed {self.seed}, round {self.round}, day {self.days():.1f}"
        assert not differences, f"{where}: {differences[0]}, of {len(differences)}"
        self.checks += 1

    def stop_faults(self) -> None:
        requests.delete(f"{self.stack.environment['STRIPE_API_BASE']}/_sandbox/faults", timeout=10)
        self.stack.stripe("deliveries", {"reset": True})
        for process in self.stack.processes.values():
            process.await_ready()

    def verify(self) -> None:
        """Nothing recorded was changed, and nothing undecodable was sent."""
        for words in (["events", "verify"], ["deadletters", "list", "--json"]):
            done = self.stack.run(*words)
            assert done.returncode == OK, f"seed {self.seed}: {words}: {done.stdout}{done.stderr}"
        assert not done.stdout, f"seed {self.seed}: dead letters: {done.stdout}"

    def figures(self) -> dict[str, Any]:
        at_stripe = self.stripe.by_org().values()
        paid = [each for stripe in at_stripe for each in stripe.invoices if each["status"] == "paid"]
        changes = self.stack.rows("billing", "SELECT count(*) FROM events WHERE name = 'billing.SubscriptionChanged'")
        return {
            "seed": self.seed,
            "days": round(self.days()),
            "orgs": len(self.tenants),
            "checks": self.checks,
            "deeds_and_faults": dict(self.done),
            "answers": dict(self.answers),
            "given_up": self.given_up,
            "made_up_for": self.made_up_for,
            "subscriptions": sum(len(stripe.subscriptions) for stripe in at_stripe),
            "paid_invoices": len(paid),
            "changes": changes[0][0],
        }

    def _difference(self, tenant: Tenant, at_stripe: dict[str, year_rules.AtStripe]) -> str:
        nothing = year_rules.AtStripe(subscriptions=(), invoices=(), charges=())
        shown = {
            "subscription": tenant.sees("/v1/subscription"),
            "usage": tenant.sees("/v1/usage"),
            "bots": tenant.sees("/v1/bots?limit=100")["data"],
        }
        us = year_books.with_us(self.stack, tenant.org.id, shown)
        stripe = at_stripe.get(tenant.org.id, nothing)
        difference = year_rules.first_difference(us, stripe, self.plans, self.now())
        return f"{difference}\n{year_books.story(us, stripe)}\n" if difference else ""

    def _become_quiet(self) -> int:
        """What waits for its time gets it, and what was lost is made up for; gives what Stripe had told by then."""
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            self.go_on(timedelta(hours=2))
            self._await_quiet()
            told = self.stripe.told()
            done = self.stack.run("billing", "reconcile", "--execute")
            self.made_up_for += sum(int(number) for number in re.findall(r": (\d+) differ", done.stdout))
            if done.returncode == OK and NO_DIFFERENCE in done.stdout and self._is_quiet():
                return told
            assert time.monotonic() < deadline, f"seed {self.seed}: {done.stdout}{done.stderr}"

    def _await_quiet(self) -> None:
        deadline = time.monotonic() + QUIET_SECONDS
        while not self._is_quiet():
            found = self._under_way()
            never = [one for one in found if "failed" in one or "parked" in one]
            assert not never, f"seed {self.seed}, round {self.round}: {never}"
            assert time.monotonic() < deadline, f"seed {self.seed}, round {self.round}: {found}"
            time.sleep(LOOK_SECONDS)
            self.go_on(timedelta(seconds=10))  # a job that failed waits longer each time

    def _is_quiet(self) -> bool:
        return not self.stripe.undelivered() and not self._under_way()

    def _under_way(self) -> list[str]:
        """Of all services: jobs, changes, events that were not applied; and what was given up, which never ends."""
        found = []
        for service in ("accounts", "billing", "secrets", "quota"):
            rows = self.stack.rows(service, "SELECT * FROM jobs WHERE state NOT IN ('done', 'cancelled')")
            found += [
                f"{row.kind} of {row.subject} {row.state} after {row.attempts}: {row.last_error}" for row in rows
            ]
            found += [f"{service} parked {row.name}" for row in self.stack.rows(service, "SELECT name FROM parked")]
        found += [
            f"change {row.id}" for row in self.stack.rows("billing", "SELECT id FROM intents WHERE state = 'open'")
        ]
        told = self.stack.rows("billing", "SELECT max(position) FROM log")[0][0]
        heard = self.stack.rows("quota", "SELECT position FROM inbox WHERE producer = 'billing'")
        return found if heard and heard[0][0] == told else [*found, "quota has not heard all"]


def _documented(description: dict[str, Any]) -> list[tuple[re.Pattern[str], set[int]]]:
    """Method and path of each operation, and the statuses that it may answer."""
    return [
        (re.compile(f"{method.upper()} {re.sub(r'{[^}]+}', '[^/]+', path)}"), {int(one) for one in what["responses"]})
        for path, methods in description["paths"].items()
        for method, what in methods.items()
        if "responses" in what
    ]
