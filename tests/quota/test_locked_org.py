"""A batch of messages of several orgs while one of their ledgers is locked by somebody's slow transaction."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from shared import context, database, errors
from tests.quota.conftest import GATEWAY, Quota

DEADLINE_SECONDS = 1.5
OTHERS = ["org_2", "org_3"]


def owner(org_id: str) -> context.Actor:
    return context.Actor(kind="person", id=f"acc_{org_id}", org_id=org_id, role="owner")


@contextmanager
def locked(quota: Quota, org_id: str) -> Iterator[None]:
    with quota.database.begin() as session:
        session.execute(text("SELECT 1 FROM orgs WHERE org_id = :id FOR UPDATE"), {"id": org_id})
        yield


@pytest.fixture
def bots(quota: Quota) -> dict[str, str]:
    """The bot of each org."""
    for org_id in OTHERS:
        quota.subscribe(org_id=org_id)
    names = ["org_1", *OTHERS]
    return {org_id: quota.tell("create_bot", actor=owner(org_id), name="Anna")["id"] for org_id in names}


def ask(quota: Quota, bots: dict[str, str], message_id: str) -> dict[str, str]:
    """One message of each org, in one batch; by org `admitted` or the kind of the refusal."""
    deadline = time.time() + DEADLINE_SECONDS
    items = [
        {"message_id": message_id, "bot_id": bot_id, "actor": owner(org_id).to_json(), "deadline": deadline}
        for org_id, bot_id in bots.items()
    ]
    try:
        with context.use(actor=GATEWAY, deadline=deadline):
            answers = quota.doors.admit_messages(items=items)
    except (*database.TRANSIENT, errors.Unavailable):  # the gateway tells all of them to ask again
        return dict.fromkeys(bots, "Unavailable")
    kinds = ("admitted" if "admitted" in one else one["refused"]["kind"] for one in answers)
    return dict(zip(bots, kinds, strict=True))


class TestABatch:
    def test_asked_again_counts_once_what_was_admitted_and_now_what_was_not(self, quota, bots):
        with locked(quota, "org_2"):
            ask(quota, bots, "msg_1")

        assert ask(quota, bots, "msg_1") == dict.fromkeys(bots, "admitted")
        assert [quota.ask("get_usage", actor=owner(org_id))["used"] for org_id in bots] == [1, 1, 1]

    def test_whose_only_org_is_locked_is_refused_in_time_and_counts_nothing(self, quota, bots):
        alone = {"org_1": bots["org_1"]}
        with locked(quota, "org_1"):
            assert ask(quota, alone, "msg_1") == {"org_1": "Unavailable"}

        assert quota.ask("get_usage")["used"] == 0
        assert ask(quota, alone, "msg_1") == {"org_1": "admitted"}
