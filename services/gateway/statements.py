"""A month's statement as CSV, a part at a time, so that neither we nor quota hold all of it at once."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import flask

from shared import context, spreadsheets

MEDIA_TYPE = "text/csv"
COLUMNS = (
    *("entry", "at", "kind", "change", "used", "message_id", "bot_id", "credit_id"),
    *("plan", "limit", "action", "why"),
)
AT_ONCE = 1000
PART_SECONDS = 5.0
MOST_SECONDS = 600.0  # then it breaks off, which a client can tell from an end

Fetch = Callable[..., dict[str, Any]]


def answer(period: str) -> flask.Response:
    """
    The month, newest entry last. The first part is fetched here, so that a refusal is one.

    :raises ServiceError: as `quota.list_statement`; and as `Places.take`
    """
    services, org_id = flask.g.services, context.current().actor.org_id
    fetch = services.quota.with_timeout(PART_SECONDS).list_statement
    first = fetch(period=period, limit=AT_ONCE)
    services.places.take(org_id)
    name = f"chatness-usage-{first['period']}.csv"
    response = flask.Response(
        _parts(fetch, first),
        content_type=f"{MEDIA_TYPE}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    response.call_on_close(lambda: services.places.give_back(org_id))
    return response


def _parts(fetch: Fetch, part: dict[str, Any]) -> Iterator[bytes]:
    until = time.monotonic() + MOST_SECONDS
    yield spreadsheets.heading(COLUMNS).encode()
    while part["items"]:
        yield spreadsheets.lines(COLUMNS, part["items"]).encode()
        if len(part["items"]) < AT_ONCE:
            return
        if time.monotonic() > until:
            raise TimeoutError("the statement took too long")
        last = part["items"][-1]
        # The request's own time was that of the first part.
        with context.use(deadline=time.time() + PART_SECONDS):
            part = fetch(period=part["period"], after=last["entry"], used=last["used"], limit=AT_ONCE)
