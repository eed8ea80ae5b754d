"""
What Stripe told while nobody listened: its list of events since the last look, each taken in as a webhook is.

A page at a time from the newest back; a look that was interrupted goes on after the last event it had.
"""

from datetime import datetime, timedelta
from typing import Any

from services.billing import errands, stripe_api, webhooks
from services.billing.parts import Parts
from shared import logs

ERRAND = "missed events"
EVERY = timedelta(hours=1)
KEPT_BY_STRIPE = timedelta(days=30)
OVERLAP = timedelta(minutes=10)  # an event may show in the list a little later than another that is younger
PAGES_AT_ONCE = 50  # the next turn goes on after them
log = logs.logger(__name__)


def first_due(parts: Parts) -> datetime:
    return parts.now() + EVERY


def take_in(parts: Parts, mine: errands.Held) -> int:
    """
    Gives how many were new.

    :raises stripe_api.Away: if Stripe is; the next look goes on where this one stopped
    :raises errands.Lost: if another goes on with it
    """
    started = parts.now()
    earliest = started - KEPT_BY_STRIPE
    since = max(min(mine.since, started) - OVERLAP, earliest) if mine.since else earliest
    position, taken = mine.position, 0
    if not position:
        mine.note(newest=started)
    for _ in range(PAGES_AT_ONCE):
        try:
            events, has_more = parts.stripe().events(since=since, after=position)
        except stripe_api.Refused:
            if not position:
                raise
            mine.note(position="")  # Stripe has forgotten that one: all over again, which does no harm
            return taken
        taken += _store(parts, events)
        if not has_more:
            mine.through(due_at=started + EVERY)
            break
        position = events[-1]["id"]
        mine.note(position=position)
    if taken:
        log.warning("missed webhooks were taken in", events=taken)
    return taken


def _store(parts: Parts, events: list[dict[str, Any]]) -> int:
    hints = []
    for document in events:
        try:
            hints.append(webhooks.hint(document))
        except ValueError:
            log.warning("stripe lists an event of another shape")
    with parts.database.begin() as session:
        followed = [hint for hint in hints if webhooks.is_followed(hint.type)]
        return webhooks.store(session, followed, livemode=parts.settings.livemode)
