"""
Stories of an org: what may be asked of quota in which order, played to it and to the model, compared at every step.

What plays it is a `Teller`: the pure rules, or the doors over PostgreSQL.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from hypothesis import strategies as st

from services.quota import boundary
from tests.quota import model

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOT, OTHER_BOT = "bot_1", "bot_2"
ACTIONS = ["upgraded", "downgraded", "canceled", "renewed", "corrected", "fell_back", "recovered", "withdrawn"]


class Teller(Protocol):
    """
    Quota as a story asks it. An answer is `{"period", "used", "limit", "credits_remaining", "remaining"}`, as the
    model has it, or the code of a refusal.
    """

    def send(self, message_id: str, bot_id: str, *, lost: str) -> dict[str, Any] | str: ...
    def refund(self, message_id: str) -> str: ...
    def change(self, **subscription: Any) -> None: ...
    def grant(self, messages: int, expires_at: datetime) -> str: ...
    def set_clock(self, now: datetime) -> None: ...
    def numbers(self) -> dict[str, Any]: ...


_ids = st.integers(0, 30).map("msg_{}".format)
_steps = st.one_of(
    st.tuples(st.just("send"), _ids, st.sampled_from(["", "", "", "answer", "commit"])),
    st.tuples(st.just("send_many"), st.integers(1, 12)),
    st.tuples(st.just("repeat"), st.integers(0, 99), st.sampled_from([BOT, BOT, OTHER_BOT])),
    st.tuples(st.just("refund"), _ids),
    st.tuples(st.just("refund_recent"), st.integers(0, 5)),
    st.tuples(st.just("refund_recent"), st.integers(0, 5)),
    st.tuples(
        st.just("change"),
        st.integers(0, 12),
        st.sampled_from(ACTIONS),
        st.integers(0, 3),
        st.integers(-1, 2),
        st.booleans(),
    ),
    st.tuples(st.just("grant"), st.integers(1, 5), st.integers(1, 50)),
    st.tuples(st.just("wait"), st.sampled_from([1, 60, 14 * 60, 15 * 60, 86_400, 8 * 86_400, 31 * 86_400])),
    st.tuples(st.just("set_back"), st.integers(1, 40)),
)
stories = st.lists(_steps, min_size=25, max_size=80)  # a short one does not get far


@dataclass
class Story:
    """
    :param answers: of each message that was admitted its answer, which it keeps
    :param now: what the clock shows; the latest that it ever showed is `latest`
    """

    teller: Teller
    expected: model.Model = field(default_factory=model.Model)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunded: set[str] = field(default_factory=set)
    version: int = 0
    fresh: int = 0
    now: datetime = BEGIN

    def play(self, steps: Iterable[tuple[Any, ...]]) -> None:
        """:raises AssertionError: at the first step whose answer, or what stands after it, is not the model's"""
        self.teller.set_clock(self.now)
        self.change(5, "started", 2, 1, earlier=False)
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
            self.expected.at(self.now)
            assert self.teller.numbers() == self.expected.numbers, (name, arguments)

    def send(self, message_id: str, lost: str = "") -> None:
        """:param lost: what of the first attempt was: nothing, its answer, or the whole transaction"""
        if lost:
            self.teller.send(message_id, BOT, lost=lost)
        answer = self.teller.send(message_id, BOT, lost="")
        assert answer == self._should_answer(message_id), message_id

    def send_many(self, messages: int) -> None:
        for _ in range(messages):
            self.fresh += 1
            self.send(f"fresh_{self.fresh}")

    def repeat(self, which: int, bot_id: str) -> None:
        """Of what was admitted, with the same content or with another."""
        if known := [*self.answers]:
            message_id = known[which % len(known)]
            answer = self.teller.send(message_id, bot_id, lost="")
            other = "message_id_reused" if bot_id != BOT else None
            assert answer == (other or self._should_answer(message_id))

    def refund(self, message_id: str) -> None:
        self.expected.at(self.now)
        if message_id not in self.answers:
            should_be = "unknown_message"
        elif message_id in self.refunded or self.expected.refund(message_id, self.now):
            self.refunded.add(message_id)
            should_be = "refunded"
        else:
            should_be = "refund_window_over"
        assert self.teller.refund(message_id) == should_be

    def refund_recent(self, back: int) -> None:
        if back < len(self.answers):
            self.refund([*self.answers][-1 - back])

    def change(self, limit: int, action: str, max_resets: int, newer: int, earlier: bool) -> None:
        """:param newer: by how much the subscription's version is newer; what is not newer changes nothing"""
        self.expected.at(self.now)
        effective_at = self.now - timedelta(days=31 if earlier else 0)
        period = boundary.period_of(effective_at)
        if newer > 0:
            self.expected.change(limit, action=action, effective_period=period, max_resets=max_resets)
        self.teller.change(
            version=self.version + newer,
            message_limit=limit,
            action=action,
            max_resets_per_month=max_resets,
            effective_at=f"{effective_at:%Y-%m-%dT%H:%M:%SZ}",
        )
        self.version = max(self.version, self.version + newer)

    def grant(self, messages: int, days: int) -> None:
        self.expected.at(self.now)
        expires_at = self.now + timedelta(days=days)
        self.expected.grant(self.teller.grant(messages, expires_at), messages, expires_at)

    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.teller.set_clock(self.now)

    def set_back(self, days: int) -> None:
        self.wait(-days * 86_400)

    def _should_answer(self, message_id: str) -> dict[str, Any] | str:
        self.expected.at(self.now)
        if message_id in self.refunded:
            return "message_refunded"
        if message_id not in self.answers:
            if not self.expected.admit(message_id, self.now):
                return "message_limit_reached"
            self.answers[message_id] = self.expected.numbers
        return self.answers[message_id]
