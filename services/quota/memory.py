"""How long the ids of messages are remembered: those of this month and the two before it, by the database's clock."""

from datetime import datetime

from sqlalchemy.orm import Session

from shared import clock, database

MONTHS_BEFORE = 2


def oldest_kept(session: Session) -> datetime:
    """The first moment whose messages must be known."""
    return clock.months_before(database.read_clock(session), MONTHS_BEFORE)
