"""
A random programme over one org's quota, by seed: programs that send, repeat and refund through two gateways, and what
happens meanwhile to its plan, its credits, the clock, the processes and the database.

After each round everything that was told and stored is held against the model. The seed fixes what is done; how far
each process has got by then differs from run to run.
"""

import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import requests

from ops import client
from sandbox.postgres import PostgresServer
from shared import clock
from tests.stack import quota_history, stacks
from tests.stack.quota_history import Told
from tests.stack.stacks import Org, Running, eventually

CLIENTS = 8
ANSWER_SECONDS = 60  # until what was asked must have its answer, however often that takes
PAUSE_SECONDS = 0.05
MOST_AT_ONCE = 60
OK, REFUSED, AWAY = 0, 5, 75  # of the command line

Ask = Callable[[client.Api], requests.Response]
Work = Callable[[], None]
Happening = Callable[["Programme"], None]


@dataclass
class Programme:
    """
    :param urls: of the gateways
    :param quotas: the processes that serve quota, `gateways` those of the gateway
    :param plans: the limit of each
    :param lost: how many answers never came, or were 503: nobody knew then what had become of what was asked
    """

    stack: Running
    postgres: PostgresServer
    org: Org
    urls: Sequence[str]
    quotas: Sequence[str]
    gateways: Sequence[str]
    plans: Mapping[str, int]
    seed: int
    told: Told = field(default_factory=Told)
    lost: int = 0
    round: int = 0
    done: Counter[str] = field(default_factory=Counter)
    recent: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    scheduled: str = ""
    _session: str = ""
    _turns: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._session = self.org.owner.token

    def run(self, happenings: Iterable[Happening]) -> quota_history.Retold:
        """
        One round for each of what happens.

        :raises AssertionError: naming the seed, the round, what happened in it, and the first difference
        """
        for happening in happenings:
            self.round += 1
            name = happening.__name__.replace("_", " ")
            self.done[name] += 1
            try:
                retold = self._play(happening)
            except AssertionError as difference:
                raise AssertionError(f"seed {self.seed}, round {self.round}, {name}: {difference}") from difference
        self._ask_again_what_was_admitted()
        for process in self.stack.processes.values():
            process.await_ready()
        return retold

    def _play(self, happening: Happening) -> quota_history.Retold:
        self._do(self._work(), meanwhile=lambda: happening(self))
        self._ask_again_who_was_refused()
        return self.check()

    def use_up(self, *, leaving: int) -> None:
        ids = [f"msg_before_{number}" for number in range(self._usage()["remaining"] - leaving)]
        self._do([lambda id=id: self.send(id) for id in ids])

    def check(self) -> quota_history.Retold:
        def settled() -> bool:
            """A change that was scheduled happens by itself."""
            plans = quota_history.plans_changed(self.org)
            if self.scheduled and plans == [*self.told.plans, self.scheduled]:
                self.told.plans, self.scheduled = plans, ""
            return plans == self.told.plans

        eventually(settled, "the plan is not what it was changed to", seconds=ANSWER_SECONDS)
        while True:
            before = self._usage()
            retold = quota_history.check(self.org, self.told, before)
            if self._usage() == before:
                return retold

    def _work(self) -> list[Work]:
        """Messages, more than there is room for if that is not far; repeats with the same bot or another; refunds."""
        left = self._usage()["remaining"]
        messages = self.chance.randint(10, MOST_AT_ONCE) if left > MOST_AT_ONCE else left + self.chance.randint(1, 9)
        fresh = [f"msg_{self.round}_{number}" for number in range(messages)]
        twice = self.chance.sample(fresh, k=messages // 4)
        known = self.chance.sample(self.recent, k=min(len(self.recent), 8))
        self.recent = (self.recent + fresh)[-500:]
        work: list[Work] = [
            *(lambda id=id: self.send(id) for id in [*fresh, *twice, *known]),
            *(lambda id=id: self.refund(id) for id in self.chance.sample(known + fresh, k=min(len(known), 4))),
            *(lambda id=id: self.reuse(id) for id in known[:2]),
        ]
        self.chance.shuffle(work)
        return work

    def _do(self, work: Iterable[Work], *, meanwhile: Work = lambda: None) -> None:
        """By many clients at once."""
        left = deque(work)
        threads = [threading.Thread(target=self._drain, args=[left]) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        meanwhile()
        for thread in threads:
            thread.join(2 * ANSWER_SECONDS)
            assert not thread.is_alive(), "somebody was never answered"
        assert not self.faults, f"{self.faults[0]}, of {len(self.faults)}"

    def _drain(self, work: deque[Work]) -> None:
        while True:
            try:
                work.popleft()()
            except IndexError:
                return
            except Exception as fault:  # noqa: BLE001  # a thread's own death would go unnoticed
                self.faults.append(repr(fault))

    def send(self, message_id: str) -> requests.Response:
        """Until it is decided; what was admitted before must be answered as then."""
        known = self.told.admitted.get(message_id)
        self.told.asked.add(message_id)
        answer = self._as_program("POST", "/v1/messages", {"bot_id": self.org.bot_id, "id": message_id})
        body = answer.json()
        match answer.status_code, body.get("code"):
            case 201, _:
                first = self.told.admitted.setdefault(message_id, body)
                assert body == first, f"{message_id} was {first} and is {body}"
            case 409, "message_refunded":
                assert message_id in self.told.refund_asked, body
            case 429, "message_limit_reached":
                assert known is None, f"{message_id} was admitted, and is refused: {body}"
                members = ("used", "limit", "credits_remaining", "resets_at")
                self.told.refused.append({name: body[name] for name in members})
            case status:
                raise AssertionError(f"{message_id}: {status}")
        return answer

    def reuse(self, message_id: str) -> None:
        """An id with another content: refused if it was admitted, and unknown otherwise."""
        known = message_id in self.told.admitted
        answer = self._as_program("POST", "/v1/messages", {"bot_id": "bot_other", "id": message_id})
        codes = {"message_id_reused"} if known else {"message_id_reused", "unknown_bot"}
        assert answer.json()["code"] in codes, answer.text

    def refund(self, message_id: str) -> None:
        known = message_id in self.told.admitted
        self.told.refund_asked.add(message_id)
        answer = self._as_program("DELETE", f"/v1/messages/{message_id}")
        code = "" if answer.status_code == 204 else answer.json()["code"]
        match code:
            case "":
                self.told.refunded.add(message_id)
            case "refund_window_over":
                self.told.kept.add(message_id)
            case _:
                assert (code, known) == ("unknown_message", False), answer.text

    def change_plan(self, plan: str, *, at: str = "now") -> None:
        """Until the subscription says so; paid by the Checkout page where there is no card yet."""
        if self.scheduled or plan == self.subscription()["plan"]:
            return
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self._has(plan, at):
            assert time.monotonic() < deadline, f"{plan} was never reached"
            answer = self._ask_for(plan, at)
            if answer.status_code == 202 and "checkout_url" in answer.json():
                stacks.pay(answer.json()["checkout_url"])
                eventually(lambda: self._has(plan, at), f"{plan} was paid, and never came", seconds=ANSWER_SECONDS)
            assert answer.status_code in (200, 202, 409), answer.text
            time.sleep(PAUSE_SECONDS)
        if at == "now":
            self.told.plans.append(plan)
        else:
            self.scheduled = plan

    def _ask_for(self, plan: str, at: str) -> requests.Response:
        if plan == "free":
            return self._as_owner("DELETE", f"/v1/subscription?at={at}")
        return self._as_owner("PUT", "/v1/subscription", {"plan": plan, "at": at})

    def grant(self, messages: int, days: int) -> None:
        """At the command line, again until it is known to be done."""
        last_day = (self.stack.clock.now() + timedelta(days=days)).date()
        order = ["quota", "credit", self.org.id, "--messages", str(messages), "--expires", f"{last_day}"]
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            done = self.stack.run(*order, "--reason", f"round {self.round}", "--execute", "--json")
            if done.returncode in (OK, REFUSED):
                break
            assert done.returncode == AWAY, done.stderr
            assert time.monotonic() < deadline, done.stderr
            self.lost += 1
        end = clock.parse(f"{last_day}T00:00:00Z") + timedelta(days=1)
        self.told.granted.append((messages, end))

    def move_clock(self, by: timedelta) -> None:
        shown = self.stack.clock.now() + by
        self.stack.clock.set(offset_seconds=(shown - clock.machine_time()).total_seconds())

    def _ask_again_who_was_refused(self) -> None:
        """A refusal is remembered nowhere; while nothing else happens, who finds room is admitted."""
        refused = [id for id in self.recent if id not in self.told.admitted and id not in self.told.refund_asked]
        for message_id in refused[-3:]:
            room = self._usage()["remaining"]
            status = self.send(message_id).status_code
            assert status == 201 or not room or not self._usage()["remaining"], (
                f"{message_id} refused with {room} left"
            )

    def _ask_again_what_was_admitted(self) -> None:
        """Its decision stays the same, and a message that was refused is none."""
        for message_id in self.chance.sample(sorted(self.recent), k=min(len(self.recent), 40)):
            found = self._as_program("GET", f"/v1/messages/{message_id}")
            if message_id in self.told.admitted:
                assert found.json().items() >= self.told.admitted[message_id].items(), found.text
                self.send(message_id)
            else:
                assert (found.status_code, found.json()["code"]) == (404, "unknown_message"), found.text

    def _has(self, plan: str, at: str) -> bool:
        subscription = self.subscription()
        if at == "now":
            return bool(subscription["plan"] == plan)
        return bool((subscription["scheduled_change"] or {}).get("plan") == plan)

    def subscription(self) -> dict[str, Any]:
        return dict(self._as_owner("GET", "/v1/subscription").json())

    def _usage(self) -> dict[str, Any]:
        return dict(self._as_program("GET", "/v1/usage").json())

    def _as_program(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self._until_answered(self.org.program.token, lambda api: api.ask(method, path, body))

    def _as_owner(self, method: str, path: str, body: Any = None) -> requests.Response:
        """In a new session where the last one has ended because the clock has moved."""
        while True:
            answer = self._until_answered(self._session, lambda api: api.ask(method, path, body))
            if answer.status_code != 401:
                return answer
            self._session = self._sign_in()

    def _sign_in(self) -> str:
        person = {"email": self.org.email, "password": stacks.PASSWORD}
        answer = self._until_answered("", lambda api: api.ask("POST", "/v1/sessions", person))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def _until_answered(self, token: str, ask: Ask) -> requests.Response:
        """Asked again with the same id, now here and now there, as the API says."""
        apis = deque(client.Api(url, token) for url in self.urls)
        apis.rotate(next(self._turns))
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                answer = ask(apis[0])
                in_progress = answer.status_code == 409 and answer.json()["code"] == "idempotency_in_progress"
                if answer.status_code != 503 and not in_progress:
                    return answer
                last = answer.text
            except requests.RequestException as error:
                last = repr(error)
            self.lost += 1
            assert time.monotonic() < deadline, f"never answered: {last}"
            apis.rotate()
            time.sleep(PAUSE_SECONDS)
