"""The bots as they are shown, and the answers that are read from quota's tables."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.quota import activity, bots, credits, ledger, models, tally
from services.quota.events import CATALOGUE, LEDGER, BotCreated, BotDeleted, BotPaused, BotResumed
from shared import clock, errors, events, personal, read_models, store

VERSION = 3


def project_bot(session: Session, event: events.Recorded, fact: Any) -> None:
    project_bots(session, [(event, fact)])


def project_bots(session: Session, added: read_models.Added) -> None:
    read_models.fold(session, models.Bot, added, key=_bot_of, evolve=_evolve_bot)
    activity.TRAIL.project(session, added)


def project_entry(session: Session, event: events.Recorded, fact: Any) -> None:
    """What stands in a ledger, or was told to the others: one event."""
    project_entries(session, [(event, fact)])


def project_entries(session: Session, added: read_models.Added) -> None:
    tally.project_all(session, [(event, fact) for event, fact in added if isinstance(fact, LEDGER)])
    activity.TRAIL.project(session, added)


ROSTER = store.Aggregate(
    catalogue=CATALOGUE,
    initial=bots.Roster(),
    evolve=bots.evolve,
    project=project_bot,
    # A program may pause and resume its bots every hour of every day.
    snapshots=store.Snapshots(every=200, dump=bots.dump, restore=bots.restore),
)

# For facts about a month that is over: nobody needs it folded.
UNFOLDED_LEDGER: store.Aggregate[None] = store.Aggregate(
    catalogue=CATALOGUE, initial=None, evolve=lambda state, _fact: state, project=project_entry
)

READ_MODELS = read_models.ReadModels(
    version=VERSION,
    tables=models.Views.metadata,
    catalogue=CATALOGUE,
    projects={"bots": project_bot, "ledger": project_entry, "quota": project_entry},
    batches={"bots": project_bots, "ledger": project_entries, "quota": project_entries},
    countings=[tally.DAYS],
    stream_of={
        **dict.fromkeys(("usage_months", "usage_days"), "'ledger-' || org_id || '-' || period"),
        "activity": "source",
    },
)


def roster_stream(org_id: str) -> str:
    return f"bots-{org_id}"


def usage(month: ledger.Month) -> dict[str, Any]:
    """The open month in numbers."""
    return {
        "period": month.period,
        "used": month.used,
        "limit": month.limit,
        "credits_remaining": month.credits_remaining,
        "remaining": month.remaining,
        "resets_at": resets_at(month.period),
        "blocked": month.remaining == 0,
        "plan": month.plan,
        "resets_left": month.resets_left,
        "subscription_version": month.subscription_version,
    }


def credit(credit: credits.Credit) -> dict[str, Any]:
    return {
        "id": credit.id,
        "messages": credit.messages,
        "remaining": credit.remaining,
        "granted_at": clock.rfc3339(credit.granted_at),
        "expires_at": clock.rfc3339(credit.expires_at),
    }


def resets_at(period: str) -> str:
    return clock.rfc3339(clock.next_month(clock.parse(f"{period}-01T00:00:00Z")))


def admission(row: models.Message) -> dict[str, Any]:
    """The answer of an admission, the same each time it is asked for."""
    return {
        "id": row.message_id,
        "bot_id": row.bot_id,
        "period": row.period,
        "used": row.used,
        "limit": row.message_limit,
        "credits_remaining": row.credits_remaining,
        "remaining": max(0, row.message_limit - row.used) + row.credits_remaining,
    }


def message(row: models.Message) -> dict[str, Any]:
    """The answer of its admission, and when it was refunded, if it was."""
    refunded = {"refunded_at": clock.rfc3339(row.refunded_at)} if row.refunded_at else {}
    return {**admission(row), **refunded}


def bot(session: Session, org_id: str, bot_id: str) -> dict[str, Any]:
    """:raises NotFound: `unknown_bot`"""
    row = session.get(models.Bot, (org_id, bot_id), populate_existing=True)
    if row is None:
        raise errors.NotFound("unknown_bot", "There is no such bot.")
    return _bots(session, org_id, [row])[0]


def list_bots(session: Session, org_id: str, *, after: str, limit: int) -> list[dict[str, Any]]:
    """In the order in which they were made, beyond the bot `after`."""
    wanted = select(models.Bot).where(models.Bot.org_id == org_id, models.Bot.bot_id > after)
    return _bots(session, org_id, list(session.scalars(wanted.order_by(models.Bot.bot_id).limit(limit))))


def _bot_of(_event: events.Recorded, fact: Any) -> tuple[str, str]:
    return fact.org_id, fact.bot_id


def _evolve_bot(bot: read_models.Row | None, event: events.Recorded, fact: Any) -> read_models.Row | None:
    match fact:
        case BotCreated():
            made = {"reasons": [], "created_at": event.recorded_at}
            return {"org_id": fact.org_id, "bot_id": fact.bot_id, **made}
        case BotPaused() | BotResumed():
            return bot and {**bot, "reasons": list(fact.reasons)}
        case BotDeleted():
            return None
        case _:
            return bot


def _bots(session: Session, org_id: str, rows: list[models.Bot]) -> list[dict[str, Any]]:
    names = personal.get_many(session, [row.bot_id for row in rows])
    stopped = session.scalar(select(models.Org.stopped).where(models.Org.org_id == org_id))
    return [
        {
            "id": row.bot_id,
            "name": names.get(row.bot_id, {}).get("name", ""),
            "state": "paused" if row.reasons else "stopped" if stopped else "running",
            "pause_reasons": sorted(row.reasons),
            "created_at": clock.rfc3339(row.created_at),
        }
        for row in rows
    ]
