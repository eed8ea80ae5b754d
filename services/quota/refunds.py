"""A message that was counted and could not be sent: taken back, once, behind the lock of its org's row."""

from datetime import timedelta

from sqlalchemy.orm import Session

from services.quota import boundary, ledger, models
from services.quota.events import MessageRefunded
from shared import database, errors


def refund(session: Session, org_id: str, message_id: str, *, window: timedelta) -> None:
    """
    :param window: how long after its admission a message may be refunded
    :raises NotFound: `unknown_message`
    :raises Conflict: `refund_window_over`
    """
    page = boundary.open_pages(session, [org_id]).get(org_id)
    message = session.get(models.Message, (org_id, message_id)) if page else None
    if page is None or message is None:
        raise errors.NotFound("unknown_message", "No such message was counted.")
    now = database.now(session)
    facts = ledger.refund(page.month, message=_counted(message), at=now, window=window)
    if message.period == page.month.period:
        page.add(facts)
    else:
        late: ledger.Facts = [fact for fact in facts if isinstance(fact, MessageRefunded)]
        boundary.append_late(session, org_id, message.period, late)
        page.add([fact for fact in facts if fact not in late])
    boundary.write(session, [page])
    message.refunded_at = message.refunded_at or now


def _counted(message: models.Message) -> ledger.Counted:
    return ledger.Counted(
        message_id=message.message_id,
        bot_id=message.bot_id,
        period=message.period,
        generation=message.generation,
        recorded_at=message.recorded_at,
        refunded=message.refunded_at is not None,
        credit_id=message.credit_id,
    )
