"""quota's doors."""

import re
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services import access
from services.quota import admissions, bots, boundary, erasing, models, projections, reading, refunds
from shared import (
    context,
    database,
    doors,
    errors,
    failpoints,
    ids,
    logs,
    metrics,
    personal,
    revisions,
    rpc,
    store,
)

log = logs.logger(__name__)

MOST_ITEMS = 256
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


class QuotaService(reading.Reading):
    name = "quota"

    @doors.opened("messages:admit_batch")
    def admit_messages(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Admit messages, each exactly once whatever is asked twice, in one transaction.

        :param items: `{"message_id", "bot_id", "org_id"}` each, 256 at most; without `org_id` in the actor's org. The
            gateway's carry `actor` and `deadline` instead, because it asks for others
        :returns: for each item `{"admitted": what get_message gives}` or `{"refused": {"kind", "code", "message",
            "details"}}`, with the codes `unknown_bot`, `bot_paused`, `message_id_reused`, `message_refunded`,
            `message_limit_reached`, `org_not_ready`, `org_required`, `service_unavailable`. A refusal is
            decided anew when asked again
        :raises Invalid: `invalid_items` if one of them is none; then none was looked at
        """
        ours = self.actor.id == access.GATEWAY
        asked = [_item_of_another(item) for item in items] if ours else _own_items(self.actor, items)
        try:
            return [_answer(answer) for answer in self._admit(asked)]
        except (*database.TRANSIENT, errors.Unavailable):
            raise
        except Exception:
            if len(asked) == 1:
                raise
            log.exception("batch failed, admitting one by one", items=len(asked))
        return [_answer(self._admit_alone(item)) for item in asked]

    def _admit(self, items: list[admissions.Item]) -> list[admissions.Answer]:
        refusals = {index: refusal for index, item in enumerate(items) if (refusal := self._refusal(item))}
        allowed = [item for index, item in enumerate(items) if index not in refusals]
        with (
            metrics.ADMISSION_SECONDS.time(),
            self.house.database.begin(deadline=context.current().deadline) as session,
        ):
            decided = admissions.admit(session, allowed)
        failpoints.reach("admission.committed")
        answers = iter(decided.answers)
        together = [refusals[index] if index in refusals else next(answers) for index in range(len(items))]
        _count(together, decided.admitted)
        return together

    def _admit_alone(self, item: admissions.Item) -> admissions.Answer:
        try:
            return self._admit([item])[0]
        except Exception:
            log.exception("admission failed", message=item.message_id)
            return errors.Unavailable("service_unavailable", "This message could not be counted; try again.")

    def _refusal(self, item: admissions.Item) -> errors.ServiceError | None:
        if item.deadline is not None and item.deadline < time.time():
            return errors.Unavailable("deadline_passed", "The caller no longer waits.")
        try:
            self.house.authorise(item.actor, "messages:write")
        except errors.ServiceError as refusal:
            return refusal
        return None

    @doors.query("messages:write")
    def get_message(self, session: Session, message_id: str) -> dict[str, Any]:
        """
        Whether a message was counted, with the answer that it got.

        :returns: `{"id", "bot_id", "period", "used", "limit", "credits_remaining", "remaining"}`, and of one that was
            refunded `refunded_at`
        :raises NotFound: `unknown_message`
        """
        row = session.get(models.Message, (self.actor.org_id, message_id))
        if row is None:
            raise errors.NotFound("unknown_message", "No such message was counted.")
        return projections.message(row)

    @doors.command("messages:refund", answer=_nothing)
    def refund_message(self, session: Session, message_id: str) -> dict[str, str]:
        """
        Take back a message that could not be sent; a repeat changes nothing.

        :returns: `{}`
        :raises NotFound: `unknown_message`
        :raises Conflict: `refund_window_over`
        """
        window = timedelta(seconds=self.house.settings.refund_seconds)
        refunds.refund(session, self.actor.org_id, message_id, window=window)
        return {}

    @doors.query("usage:read")
    def list_credits(self, session: Session) -> list[dict[str, Any]]:
        """
        The extra messages that operations granted the org and that have not expired, in the order in which they are
        spent: the one that expires first.

        :returns: of each `{"id", "messages", "remaining", "granted_at", "expires_at"}`
        :raises Unavailable: `org_not_ready` for an org of which quota has not heard, yet or ever
        """
        page = erasing.open_page(session, self.actor.org_id)
        boundary.write(session, [page])
        return [projections.credit(credit) for credit in page.month.credits]

    @doors.query("usage:read")
    def get_subscription_version(self, session: Session) -> int:
        """
        Which version of the subscription quota counts by: a look without a lock, for whoever waits for it.

        :returns: 0 for an org of which quota has not heard
        """
        known = select(models.Org.subscription_version).where(models.Org.org_id == self.actor.org_id)
        return session.scalar(known) or 0

    @doors.query("bots:read")
    def list_bots(self, session: Session, after: str = "", limit: rpc.PageSize = 50) -> list[dict[str, Any]]:
        """
        The org's bots in the order in which they were made.

        :param after: the id of the last bot of the page before
        :returns: of each what `get_bot` gives
        :raises NotFound: `erased` of an org that was
        """
        found = projections.list_bots(session, self.actor.org_id, after=after, limit=limit)
        return found or erasing.nothing(session, self.actor.org_id)

    @doors.query("bots:read")
    def get_bot(self, session: Session, bot_id: str) -> dict[str, Any]:
        """
        :returns: `{"id", "name", "state", "pause_reasons", "created_at"}`; the state is running, paused or stopped
        :raises NotFound: `unknown_bot`
        """
        return projections.bot(session, self.actor.org_id, bot_id)

    @doors.command("bots:write", answer=projections.bot)
    def create_bot(self, session: Session, name: str) -> dict[str, str]:
        """
        Make a bot, which runs at once.

        :returns: what `get_bot` gives
        :raises Invalid: `invalid_name`: a name has 1 to 100 printable characters
        :raises Conflict: `bot_limit` if the plan has no room for one more; `too_many_bots`
        :raises Unavailable: `org_not_ready`
        """
        page = self._page(session)
        org_id, bot_id = self.actor.org_id, ids.new("bot")
        name_version = personal.put(session, bot_id, subject=org_id, name=_name(name))
        create = partial(bots.create, org_id=org_id, bot_id=bot_id, name_version=name_version, limit=page.bot_limit)
        return self._decide(session, bot_id, create)

    @doors.command("bots:write", answer=projections.bot)
    def rename_bot(self, session: Session, bot_id: str, name: str) -> dict[str, str]:
        """
        :returns: what `get_bot` gives
        :raises Invalid: `invalid_name`
        :raises NotFound: `unknown_bot`
        """
        self._page(session, seen=bot_id)
        name_version = personal.put(session, bot_id, subject=self.actor.org_id, name=_name(name))
        return self._decide(session, bot_id, partial(bots.rename, bot_id=bot_id, name_version=name_version))

    @doors.command("bots:write", answer=projections.bot)
    def pause_bot(self, session: Session, bot_id: str) -> dict[str, str]:
        """
        :returns: what `get_bot` gives
        :raises NotFound: `unknown_bot`
        :raises Conflict: `bot_already_paused`
        """
        self._page(session)
        return self._decide(session, bot_id, partial(bots.pause, bot_id=bot_id))

    @doors.command("bots:write", answer=projections.bot)
    def resume_bot(self, session: Session, bot_id: str) -> dict[str, str]:
        """
        Let a bot run again, whoever or whatever paused it.

        :returns: what `get_bot` gives
        :raises NotFound: `unknown_bot`
        :raises Conflict: `bot_already_running`, or `bot_limit` if the plan has no room for it
        """
        page = self._page(session)
        return self._decide(session, bot_id, partial(bots.resume, bot_id=bot_id, limit=page.bot_limit))

    @doors.command("bots:write", answer=_nothing)
    def delete_bot(self, session: Session, bot_id: str) -> dict[str, str]:
        """
        :returns: `{}`
        :raises NotFound: `unknown_bot`
        """
        self._page(session, seen=bot_id)
        return self._decide(session, bot_id, partial(bots.delete, bot_id=bot_id))

    def _page(self, session: Session, *, seen: str = "") -> boundary.Page:
        """
        Lock the org's row, as every transaction of quota does first.

        :param seen: the bot whose revision must be the one that was read: by a query, which turns no month
        """
        page = erasing.open_page(session, self.actor.org_id)
        if seen:
            revisions.check(partial(projections.bot, session, self.actor.org_id, seen))
        boundary.write(session, [page])
        return page

    def _decide(self, session: Session, bot_id: str, decide: Any) -> dict[str, str]:
        org_id = self.actor.org_id
        store.execute(session, projections.roster_stream(org_id), projections.ROSTER, decide)
        return {"org_id": org_id, "bot_id": bot_id}


def _own_items(caller: context.Actor, items: list[dict[str, Any]]) -> list[admissions.Item]:
    """What a service asks for itself: in orgs that it names, and as nobody else."""
    if len(items) > MOST_ITEMS:
        raise errors.Invalid("invalid_items", f"At most {MOST_ITEMS} messages are admitted at once.")
    return [_own_item(caller, item) for item in items]


def _own_item(caller: context.Actor, item: dict[str, Any]) -> admissions.Item:
    ids = {"message_id": None, "bot_id": None, **item}
    if ids.keys() - {"message_id", "bot_id", "org_id"} or not all(map(_is_id, ids.values())):
        raise errors.Invalid(
            "invalid_items", "A message has message_id, bot_id and org_id: 1 to 64 letters, digits, _ and - each."
        )
    actor = replace(caller, org_id=item.get("org_id", caller.org_id))
    return admissions.Item(message_id=item["message_id"], bot_id=item["bot_id"], actor=actor)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


def _item_of_another(item: dict[str, Any]) -> admissions.Item:
    return admissions.Item(
        message_id=item["message_id"],
        bot_id=item["bot_id"],
        actor=context.Actor.from_json(item["actor"]),
        deadline=item.get("deadline"),
    )


def _count(answers: list[admissions.Answer], admitted: int) -> None:
    refused = [answer.code for answer in answers if isinstance(answer, errors.ServiceError)]
    outcomes = Counter({"admitted": admitted, "repeated": len(answers) - len(refused) - admitted}) + Counter(refused)
    for outcome, messages in outcomes.items():
        metrics.child(metrics.ADMISSIONS, outcome).inc(messages)
    metrics.ADMISSION_BATCH.observe(len(answers))


def _answer(answer: admissions.Answer) -> dict[str, Any]:
    if isinstance(answer, errors.ServiceError):
        kind = type(answer).__name__
        return {"refused": {"kind": kind, "code": answer.code, "message": answer.message, "details": answer.details}}
    return {"admitted": answer}


def _name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise errors.Invalid(
            "invalid_name",
            "A bot's name has 1 to 100 printable characters.",
            {"errors": [{"pointer": "/name", "detail": "1 to 100 printable characters"}]},
        )
    return name


SERVICE = QuotaService
