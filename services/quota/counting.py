"""quota's doors for messages: asked for before they are sent, looked up, taken back."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from services import access
from services.quota import admissions, models, projections, refunds
from shared import context, database, doors, errors, failpoints, logs, metrics
from shared.frozen import changed

log = logs.logger(__name__)

MOST_ITEMS = 256
PATIENCE_SECONDS = 0.2  # with an org that somebody else has locked, while other orgs wait
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Refusals = dict[int, errors.ServiceError]  # by the item's index


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


class Counting(doors.Service):
    """Its methods are doors of the quota service."""

    @doors.opened("messages:admit_batch")
    def admit_messages(
        self, items: list[dict[str, Any]], actors: list[dict[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        """
        Admit messages, each exactly once whatever is asked twice, those of an org together.

        :param items: `{"message_id", "bot_id", "org_id"}` each, 256 at most; without `org_id` in the actor's org
        :param actors: those for whom the gateway asks; each of its items has one's place in this list as `actor`, and
            a `deadline`, in place of `org_id`
        :returns: for each item `{"admitted": what get_message gives}` or `{"refused": {"kind", "code", "message",
            "details"}}`, with the codes `unknown_bot`, `bot_paused`, `message_id_reused`, `message_refunded`,
            `message_limit_reached`, `org_suspended`, `erased`, `org_not_ready`, `org_required`,
            `service_unavailable`. A refusal is decided anew when asked again
        :raises Invalid: `invalid_items` if one of them is none; then none was looked at
        """
        if self.actor.id == access.GATEWAY:
            asking = [context.Actor.from_json(actor) for actor in actors or ()]
            asked = [(item["message_id"], item["bot_id"], asking[item["actor"]], item["deadline"]) for item in items]
        else:
            asked = [(*_own_item(self.actor, item), None) for item in _some(items)]
        refusals = self._refusals(asked)
        wanted = [
            admissions.Item(actor.org_id, message_id, bot_id)
            for index, (message_id, bot_id, actor, _) in enumerate(asked)
            if index not in refusals
        ]
        answers = iter(self._admit(wanted))
        _count([*refusals.values()], 0)
        metrics.ADMISSION_BATCH.observe(len(asked))
        return [_answer(refusals[index] if index in refusals else next(answers)) for index in range(len(asked))]

    def _refusals(self, asked: Sequence[tuple[str, str, context.Actor, float | None]]) -> Refusals:
        """Of the items whose actor may not ask, or no longer waits."""
        may_not = {actor: refusal for actor in {each[2] for each in asked} if (refusal := self._refusal(actor))}
        now = time.time()
        too_late = errors.Unavailable("deadline_passed", "The caller no longer waits.")
        refusals: Refusals = {}
        for index, (_, _, actor, deadline) in enumerate(asked):
            if deadline is not None and deadline < now:
                refusals[index] = too_late
            elif actor in may_not:
                refusals[index] = may_not[actor]
        return refusals

    def _refusal(self, actor: context.Actor) -> errors.ServiceError | None:
        try:
            self.house.authorise(actor, "messages:write")
        except errors.ServiceError as refusal:
            return refusal
        return None

    def _admit(self, items: Sequence[admissions.Item]) -> list[admissions.Answer]:
        """All together; if that fails by a fault of ours, one by one, so that none fails by another's."""
        try:
            return self._admit_together(items)
        except (*database.TRANSIENT, errors.Unavailable):
            raise
        except Exception:
            if len(items) == 1:
                raise
            log.exception("batch failed, admitting one by one", items=len(items))
        return [self._admit_alone(item) for item in items]

    def _admit_together(self, items: Sequence[admissions.Item]) -> list[admissions.Answer]:
        """
        In one transaction; those whose org somebody else has locked in another behind it, so that none waits.

        Where there is one org only, nothing is gained by not waiting, and its lock is given in the order of asking.
        """
        if len({item.org_id for item in items}) == 1:
            return [answer or _busy() for answer in self._admit_late(items)]
        answers = self._try(items, waits=False)
        behind = [index for index, answer in enumerate(answers) if answer is None]
        if behind:
            late = self._admit_late([items[index] for index in behind])
            answers = [late.pop(0) if answer is None else answer for answer in answers]
        return [answer or _busy() for answer in answers]

    def _admit_late(self, items: Sequence[admissions.Item]) -> list[admissions.Answer | None]:
        """Wait for the orgs' locks a moment; if one of them does not come, count for the others."""
        try:
            return self._try(items, waits=True, patience_seconds=PATIENCE_SECONDS)
        except database.TRANSIENT:
            log.warning("orgs stayed locked", orgs=len({item.org_id for item in items}))
            return self._try(items, waits=False)

    def _try(
        self, items: Sequence[admissions.Item], *, waits: bool, patience_seconds: float | None = None
    ) -> list[admissions.Answer | None]:
        with (
            metrics.ADMISSION_SECONDS.time(),
            self.house.database.begin(
                deadline=context.current().deadline, patience_seconds=patience_seconds
            ) as session,
        ):
            decided = admissions.admit(session, items, waits=waits)
        failpoints.reach("admission.committed")
        _count([answer for answer in decided.answers if answer is not None], decided.admitted)
        return decided.answers

    def _admit_alone(self, item: admissions.Item) -> admissions.Answer:
        try:
            return self._admit_together([item])[0]
        except Exception:
            log.exception("admission failed", message=item.message_id)
            return errors.Unavailable("service_unavailable", "This message could not be counted; try again.")

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


def _some(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(items) > MOST_ITEMS:
        raise errors.Invalid("invalid_items", f"At most {MOST_ITEMS} messages are admitted at once.")
    return items


def _own_item(caller: context.Actor, item: dict[str, Any]) -> tuple[str, str, context.Actor]:
    """What a service asks for itself: in an org that it names, and as nobody else."""
    ids = {"message_id": None, "bot_id": None, **item}
    if ids.keys() - {"message_id", "bot_id", "org_id"} or not all(map(_is_id, ids.values())):
        raise errors.Invalid(
            "invalid_items", "A message has message_id, bot_id and org_id: 1 to 64 letters, digits, _ and - each."
        )
    return item["message_id"], item["bot_id"], changed(caller, org_id=item.get("org_id", caller.org_id))


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


def _busy() -> errors.Unavailable:
    return errors.Unavailable(
        "service_unavailable", "Somebody else holds on to this organization; the message was not counted. Try again."
    )


def _count(answers: Sequence[admissions.Answer], admitted: int) -> None:
    refused = [answer.code for answer in answers if isinstance(answer, errors.ServiceError)]
    outcomes = Counter({"admitted": admitted, "repeated": len(answers) - len(refused) - admitted}) + Counter(refused)
    for outcome, messages in outcomes.items():
        metrics.child(metrics.ADMISSIONS, outcome).inc(messages)


def _answer(answer: admissions.Answer) -> dict[str, Any]:
    if isinstance(answer, errors.ServiceError):
        return {"refused": answer.to_json()}
    return {"admitted": answer}
