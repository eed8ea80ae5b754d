"""
The month's rules, and the doors over them, against the model of what should be, whatever the story.

A story that failed is printed as hypothesis found it, with the line that plays it again.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from services.quota import boundary, grants, ledger
from services.quota.events import LEDGER, BotsRestarted, BotsStopped, PeriodOpened
from shared import clock, context, errors, events, ids, store
from tests.quota import story
from tests.quota.conftest import GATEWAY, Quota, for_gateway
from tests.quota.conftest import LEDGER as LEDGER_STREAM

NUMBERS = ("period", "used", "limit", "credits_remaining", "remaining")


@dataclass
class Rules:
    """The pure rules, driven as the doors drive them: turn, expire, decide, fold. Only what is committed stays."""

    month: ledger.Month = field(default_factory=lambda: ledger.Month(org_id="org_1"))
    facts: list[events.Event] = field(default_factory=list)
    messages: dict[str, tuple[ledger.Counted, dict[str, Any]]] = field(default_factory=dict)
    now: datetime = story.BEGIN

    def set_clock(self, now: datetime) -> None:
        self.now = now

    def send(self, message_id: str, bot_id: str, *, lost: str) -> dict[str, Any] | str:
        page = self._open()
        if known := self.messages.get(message_id):
            message, answer = known
            if message.bot_id != bot_id:
                return "message_id_reused"
            return "message_refunded" if message.refunded else answer
        credit_id = page.month.next_credit
        try:
            page.add(ledger.admit(page.month, message_id=message_id, bot_id=bot_id))
        except errors.LimitReached as refusal:
            return refusal.code
        answer = numbers(page.month)
        if lost != "commit":
            self._commit(page)
            counted = {"period": page.month.period, "generation": page.month.generation, "credit_id": credit_id}
            message = ledger.Counted(
                message_id=message_id, bot_id=bot_id, recorded_at=self.now, refunded=False, **counted
            )
            self.messages[message_id] = (message, answer)
        return answer

    def refund(self, message_id: str) -> str:
        page = self._open()
        if message_id not in self.messages:
            return "unknown_message"
        message, answer = self.messages[message_id]
        try:
            page.add(ledger.refund(page.month, message=message, at=self.now, window=timedelta(minutes=15)))
        except errors.Conflict as refusal:
            return refusal.code
        self._commit(page)
        self.messages[message_id] = (replace(message, refunded=True), answer)
        return "refunded"

    def change(self, **subscription: Any) -> None:
        page = self._open()
        page.add(
            ledger.follow_subscription(
                page.month,
                version=subscription["version"],
                plan="starter",
                limit=subscription["message_limit"],
                max_resets=subscription["max_resets_per_month"],
                action=subscription["action"],
                effective_period=boundary.period_of(clock.parse(subscription["effective_at"])),
            )
        )
        self._commit(page)

    def grant(self, messages: int, expires_at: datetime) -> str:
        page, credit_id = self._open(), ids.new("credit")
        granted = {"messages": messages, "expires_at": expires_at, "at": self.now, "reason_version": 1}
        page.add(ledger.grant(page.month, credit_id=credit_id, **granted))
        self._commit(page)
        return credit_id

    def numbers(self) -> dict[str, Any]:
        self._commit(self._open())
        return numbers(self.month)

    def assert_sound(self) -> None:
        """The open month folds from its own ledger, and the others were told in turn what is true."""
        opened = [index for index, fact in enumerate(self.facts) if isinstance(fact, PeriodOpened)]
        own = [fact for fact in self.facts[opened[-1] :] if isinstance(fact, LEDGER)]
        told = {"stopped": self.month.stopped, "threshold": self.month.threshold}
        assert replace(ledger.after(ledger.Month(org_id="org_1"), own), **told) == self.month
        said = [isinstance(fact, BotsStopped) for fact in self.facts if isinstance(fact, BotsStopped | BotsRestarted)]
        assert said == [number % 2 == 0 for number in range(len(said))]
        assert self.month.stopped == (self.month.remaining == 0) or self.month.limit == 0

    def _open(self) -> boundary.Page:
        page = boundary.Page(self.month, 1, 0, b"")
        page.add(ledger.turn(page.month, period=boundary.period_of(self.now)))
        page.add(ledger.expire(page.month, at=self.now))
        return page

    def _commit(self, page: boundary.Page) -> None:
        self.month = page.month
        self.facts += page.facts


@dataclass
class Doors:
    """The doors over PostgreSQL, as the owner of an org of the story's own finds them."""

    quota: Quota
    owner: context.Actor
    bot_id: str = ""

    @property
    def org_id(self) -> str:
        return self.owner.org_id

    def set_clock(self, now: datetime) -> None:
        self.quota.database.clock.set(frozen_at=now)

    def send(self, message_id: str, bot_id: str, *, lost: str) -> dict[str, Any] | str:
        own = {story.BOT: self.bot_id}.get(bot_id, bot_id)
        late = lost == "commit"  # it comes too late, and is not looked at
        item = for_gateway(message_id, own, seconds=-1.0 if late else 10.0)
        (answer,) = self.quota.ask("admit_messages", actor=GATEWAY, items=[item], actors=[self.owner.to_json()])
        return answer["refused"]["code"] if "refused" in answer else picked(answer["admitted"])

    def refund(self, message_id: str) -> str:
        try:
            self.quota.tell("refund_message", actor=self.owner, message_id=message_id, command_id=ids.new("cmd"))
        except errors.ServiceError as refusal:
            return refusal.code
        return "refunded"

    def change(self, **subscription: Any) -> None:
        self.quota.subscribe(org_id=self.org_id, **subscription)
        self.bot_id = self.bot_id or self.quota.tell("create_bot", actor=self.owner, name="Anna")["id"]

    def grant(self, messages: int, expires_at: datetime) -> str:
        wanted = grants.Grant(org_id=self.org_id, messages=messages, expires_at=expires_at, reason="because")
        with self.quota.database.begin() as session:
            return str(grants.grant(session, wanted, again=True, execute=True)["id"])

    def numbers(self) -> dict[str, Any]:
        return picked(self.quota.ask("get_usage", actor=self.owner))

    def assert_sound(self) -> None:
        """The org's row is what the open month's ledger says, up to its head."""
        with self.quota.database.begin() as session:
            page = boundary.open_page(session, self.org_id)
            boundary.write(session, [page])
            folded = store.load(session, boundary.ledger_stream(self.org_id, page.month.period), LEDGER_STREAM)
        assert (folded.version, folded.hash) == (page.ledger_version, bytes(page.ledger_hash))
        told = {"stopped": page.month.stopped, "threshold": page.month.threshold, "org_id": self.org_id}
        assert replace(folded.state, **told) == page.month


def picked(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in NUMBERS}


def numbers(month: ledger.Month) -> dict[str, Any]:
    return {name: getattr(month, name) for name in NUMBERS}


def play_to_rules(steps: list[tuple[Any, ...]]) -> None:
    rules = Rules()

    story.Story(rules).play(steps)

    rules.assert_sound()


class TestTheRules:
    @pytest.mark.pure
    @settings(max_examples=300, deadline=None, print_blob=True)
    @given(story.stories)
    def test_do_what_should_be(self, steps):
        play_to_rules(steps)

    @pytest.mark.soak
    @pytest.mark.timeout(1800)
    @settings(max_examples=10_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    @given(story.stories)
    def test_do_what_should_be_in_ten_thousand_stories(self, steps):
        play_to_rules(steps)


def play_to_doors(quota: Quota, steps: list[tuple[Any, ...]]) -> None:
    org_id = ids.new("org")
    doors = Doors(quota, context.Actor(kind="person", id=f"acc_of_{org_id}", org_id=org_id, role="owner"))

    story.Story(doors).play(steps)

    doors.assert_sound()


# Each story has an org of its own. One that fails is shown as it was found: to look for a shorter one takes minutes.
OVER_POSTGRESQL: dict[str, Any] = {
    "deadline": None,
    "print_blob": True,
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


class TestTheDoors:
    @settings(max_examples=8, **OVER_POSTGRESQL)
    @given(steps=story.stories)
    def test_do_what_should_be(self, quota, steps):
        play_to_doors(quota, steps)

    @pytest.mark.soak
    @pytest.mark.timeout(1800)
    @settings(max_examples=300, **OVER_POSTGRESQL)
    @given(steps=story.stories)
    def test_do_what_should_be_in_three_hundred_stories(self, quota, steps):
        play_to_doors(quota, steps)
