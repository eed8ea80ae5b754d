"""
The month's rules, and the doors over them, against the model of what should be, whatever the story.

A story that failed is printed as hypothesis found it, with the line that plays it again.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from services.quota import boundary, ledger
from services.quota.events import LEDGER, BotsRestarted, BotsStopped, PeriodOpened
from shared import clock, errors, events, ids
from tests.quota import story

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
    @settings(max_examples=30_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    @given(story.stories)
    def test_do_what_should_be_in_thirty_thousand_stories(self, steps):
        play_to_rules(steps)
