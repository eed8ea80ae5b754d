"""Long random programmes over quota's doors, by seed: whatever happens, the row is what the ledger says."""

import contextlib
import random
from datetime import UTC, datetime, timedelta

import pytest

from services.quota import boundary, grants, worker
from shared import errors, store
from tests.quota.conftest import LEDGER, codes, recorded_messages

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SEEDS = range(20)
STEPS = 300


def wanted(messages, expires_at):
    return grants.Grant(org_id="org_1", messages=messages, expires_at=expires_at, reason="because")


@pytest.mark.parametrize("seed", SEEDS)
def test_row_and_ledger_agree_after_any_story(quota, seed):
    chance = random.Random(seed)
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    bot_id = quota.tell("create_bot", name="Anna")["id"]
    version, admitted = 1, set()
    for step in range(STEPS):
        match chance.choice(
            ["send", "send", "send", "refund", "change", "clock", "back", "pause", "turn", "grant", "expire"]
        ):
            case "send":
                ids = [f"msg_{chance.randrange(step + 5)}" for _ in range(chance.randrange(1, 40))]
                answers = quota.send(bot_id, *ids)
                admitted |= {id for id, code in zip(ids, codes(answers), strict=True) if code == "admitted"}
            case "refund":
                with contextlib.suppress(errors.Conflict, errors.NotFound):
                    quota.tell("refund_message", message_id=f"msg_{chance.randrange(step + 5)}")
            case "change":
                version += chance.choice([0, 1, 1, 2])
                action = chance.choice(["upgraded", "downgraded", "renewed", "corrected"])
                quota.subscribe(version=version, action=action, message_limit=chance.randrange(0, 60))
            case "clock":
                now += timedelta(days=chance.randrange(0, 12))
                quota.database.clock.set(frozen_at=now)
            case "back":
                quota.database.clock.set(frozen_at=now - timedelta(days=chance.randrange(0, 40)))
            case "pause":
                with contextlib.suppress(errors.Conflict):
                    quota.tell(chance.choice(["pause_bot", "resume_bot"]), bot_id=bot_id)
            case "grant":
                messages, days = chance.randrange(1, 30), chance.randrange(1, 60)
                with contextlib.suppress(errors.Conflict, errors.Invalid), quota.database.begin() as session:
                    grants.grant(session, wanted(messages, now + timedelta(days=days)), again=True, execute=True)
            case "expire":
                worker.expire_credits(quota.database)
            case "turn":
                worker.turn_months(quota.database)

    with quota.database.begin() as session:
        page = boundary.open_page(session, "org_1")
        boundary.write(session, [page])
        folded = store.load(session, boundary.ledger_stream("org_1", page.month.period), LEDGER)
        events = store.read(session, boundary.ledger_stream("org_1", page.month.period))
    assert (folded.version, folded.hash) == (page.ledger_version, bytes(page.ledger_hash))
    state, row = folded.state, page.month
    assert (state.used, state.limit, state.generation) == (row.used, row.limit, row.generation)
    assert state.credits == row.credits
    previous = bytes(32)
    for event in events:
        assert event.follows(previous)
        previous = event.hash
    assert recorded_messages(quota) == len(admitted)
