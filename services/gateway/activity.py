"""
An org's activity, put together from what each service knows of it: the newest first, each row once, however much is
added while somebody turns the pages.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from services import access
from shared import clock

Row = dict[str, Any]
Place = list[str]  # `at` and `id` of a row
Fetch = Callable[[Place | None, int], list[Row]]


def page(services: Any, *, before: Place | None, limit: int) -> tuple[list[Row], Place | None]:
    """
    One page, with the names of whoever acted; and the place where the next one begins, None on the last page.

    :param services: has the RPC clients
    :raises ServiceError: as `list_activity`; Unavailable if one of the services is away
    """
    known = (services.accounts, services.billing, services.secrets, services.quota)
    rows, place = merged([_fetch(service) for service in known], before=before, limit=limit)
    return _named(services, rows), place


def merged(fetches: Iterable[Fetch], *, before: Place | None, limit: int) -> tuple[list[Row], Place | None]:
    """
    The newest rows of all lists together, and the place after which there are more; None: there are none.

    :param fetches: each gives at most so many rows that come after a place, the newest first
    """
    parts = [fetch(before, limit + 1) for fetch in fetches]
    found = list(islice(heapq.merge(*parts, key=_order, reverse=True), limit + 1))
    rows = found[:limit]
    return rows, [rows[-1]["at"], rows[-1]["id"]] if len(found) > limit else None


def _fetch(service: Any) -> Fetch:
    return lambda before, limit: service.list_activity(before=before, limit=limit)


def _order(row: Row) -> tuple[Any, str]:
    """As the services order them. As a text, a moment with fractions of a second would come before one without."""
    return clock.parse(row["at"]), row["id"]


def _named(services: Any, rows: Sequence[Row]) -> list[Row]:
    """With names where there are any: who has left, or was erased, has none."""
    people, secrets = (
        sorted({row["actor"]["id"] for row in rows if _is(kind, row)}) for kind in ("person", "secret")
    )
    names = {
        **(services.accounts.name_members(account_ids=people) if people else {}),
        **(services.secrets.name_secrets(secret_ids=secrets) if secrets else {}),
    }
    return [{**row, "actor": shown_actor(row["actor"], names)} for row in rows]


def _is(kind: str, row: Row) -> bool:
    found: bool = row["actor"]["kind"] == kind
    return found


def shown_actor(actor: dict[str, str], names: dict[str, str]) -> Row:
    """Our own services are `system`, whichever did it; another one of the company is known by its name."""
    kind, id = actor["kind"], actor["id"]
    if kind == "service" and id in access.OUR_SERVICES:
        return {"kind": "system", "id": None, "name": None, "session_id": None}
    name = id if kind == "service" else names.get(id)
    return {"kind": kind, "id": id or None, "name": name or None, "session_id": actor["session_id"] or None}
