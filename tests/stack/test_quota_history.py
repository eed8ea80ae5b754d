"""That the checker of the quota's histories finds what it looks for."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.stack.quota_history import Retold, Told, compare

pytestmark = pytest.mark.pure

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CHANGES = {
    1: {
        "version": 1,
        "message_limit": 2,
        "action": "started",
        "effective_at": "2026-11-22T12:00:00Z",
        "max_resets_per_month": 2,
    }
}


def event(name: str, *, minutes: int = 0, **data: Any) -> SimpleNamespace:
    at = NOON + timedelta(minutes=minutes)
    return SimpleNamespace(name=f"quota.{name}", data=json.dumps(data).encode(), recorded_at=at)


def counted(message_id: str) -> SimpleNamespace:
    return event("MessageRecorded", message_id=message_id, bot_id="bot_1")


def refunded(message_id: str, **when: int) -> SimpleNamespace:
    return event("MessageRefunded", message_id=message_id, **when)


def answer(message_id: str, used: int) -> dict[str, Any]:
    numbers = {"period": "2026-11", "used": used, "limit": 2, "credits_remaining": 0, "remaining": 2 - used}
    return {"id": message_id, "bot_id": "bot_1", **numbers}


def retell(*events: SimpleNamespace) -> Retold:
    retold = Retold()
    for one in (event("LimitChanged", subscription_version=1), *events):
        retold.take(one, CHANGES)
    return retold


@pytest.fixture
def told() -> Told:
    """Two of two messages were admitted, a third refused, the first refunded."""
    full = {"used": 2, "limit": 2, "credits_remaining": 0, "resets_at": "2026-12-01T00:00:00Z"}
    return Told(
        asked={"msg_1", "msg_2", "msg_3"},
        admitted={"msg_1": answer("msg_1", 1), "msg_2": answer("msg_2", 2)},
        refused=[full],
        refund_asked={"msg_1"},
        refunded={"msg_1"},
    )


STORY = [counted("msg_1"), counted("msg_2"), refunded("msg_1", minutes=1)]


class TestTake:
    @pytest.mark.parametrize(
        "events, difference",
        [
            ([*STORY[:2], counted("msg_3")], "msg_3 is one too many"),
            ([counted("msg_1"), counted("msg_1")], "msg_1 was counted twice"),
            ([*STORY, refunded("msg_1", minutes=2)], "msg_1 was refunded twice"),
            ([counted("msg_1"), refunded("msg_1", minutes=15)], "msg_1 was refunded too late"),
        ],
        ids=["overshoot", "a repeat that counts", "a second refund", "a refund after its window"],
    )
    def test_finds(self, events: list[SimpleNamespace], difference: str) -> None:
        with pytest.raises(AssertionError, match=difference):
            retell(*events)


class TestCompare:
    def test_finds_nothing_where_all_went_well(self, told: Told) -> None:
        compare(retell(*STORY), told)

    @pytest.mark.parametrize(
        "change, difference",
        [
            ({"admitted": {"msg_3": answer("msg_3", 2)}}, "told .*msg_3"),
            ({"admitted": {"msg_1": answer("msg_1", 2)}}, "told .*msg_1"),
            ({"asked": {"msg_1"}}, "what nobody asked for"),
            ({"refused": [{"used": 1, "limit": 2, "credits_remaining": 0, "resets_at": ""}]}, "refused at"),
            ({"refunded": {"msg_1", "msg_2"}, "refund_asked": {"msg_1", "msg_2"}}, "refunds"),
            ({"refund_asked": set(), "refunded": set()}, "refunds"),
            ({"kept": {"msg_1"}}, "though told that the window is over"),
            ({"granted": [(5, NOON)]}, "credits"),
        ],
        ids=[
            *("a lost message", "another answer", "a message from nowhere", "a refusal with room"),
            *("a lost refund", "a refund from nowhere", "a refund that was denied", "a lost credit"),
        ],
    )
    def test_finds(self, told: Told, change: dict[str, Any], difference: str) -> None:
        for name, value in change.items():
            setattr(told, name, value)

        with pytest.raises(AssertionError, match=difference):
            compare(retell(*STORY), told)
