"""
Orgs whose time has come are opened without a message, which does what is due: their month turns, a credit expires.

A few at a time behind their locks, with a rest after each few and a bounded number in one visit, so that messages
hardly notice. Any number of workers may visit at once: whom somebody holds is passed over, and found again at the
next visit if it still waits. What was done is committed with each few, so that a visit that is killed is taken up by
the next.
"""

import time
from collections.abc import Sequence

from sqlalchemy import Select

from services.quota import boundary, models
from shared import database, failpoints

AT_ONCE = 20  # behind their locks in one transaction, for some ten milliseconds
RESTS = 3.0  # times as long as the few before took: each is told to the others too, and messages want the machine
PER_VISIT = 1000  # after which the timer rests


def visit(home: database.Database, waiting: Select[str]) -> int:
    """
    Open those who wait, in the order of their ids; gives how many have changed.

    :param waiting: selects the ids of `models.Org`
    :raises Exception: what the first org failed with that cannot be opened, when all others are
    """
    failures: list[Exception] = []
    changed, after = 0, ""
    in_order = waiting.order_by(models.Org.org_id).limit(PER_VISIT)
    while changed < PER_VISIT:
        with home.begin() as session:
            found = session.scalars(in_order.where(models.Org.org_id > after)).all()
        if not found:
            break
        for start in range(0, len(found), AT_ONCE):
            began = time.monotonic()
            changed += _open(home, found[start : start + AT_ONCE], failures)
            time.sleep(RESTS * (time.monotonic() - began))
        after = found[-1]
    if failures:
        raise failures[0]
    return changed


def _open(home: database.Database, org_ids: Sequence[str], failures: list[Exception]) -> int:
    """Together, and one by one if they cannot be: an org that cannot be opened keeps none from it."""
    try:
        return _open_together(home, org_ids)
    except database.TRANSIENT:
        raise
    except Exception as failure:  # noqa: BLE001  # whatever it is with this org, the others are to be opened
        if len(org_ids) == 1:
            failures.append(failure)
            return 0
    return sum(_open(home, [org_id], failures) for org_id in org_ids)


def _open_together(home: database.Database, org_ids: Sequence[str]) -> int:
    with home.begin() as session:
        pages = boundary.open_pages(session, org_ids, skip_locked=True).values()
        changed = sum(bool(page.facts) for page in pages)
        boundary.write(session, pages)
    if changed:
        failpoints.reach("visit.committed")
    return changed
