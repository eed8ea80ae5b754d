"""quota's doors."""

from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.quota import activity, bots, boundary, counting, erasing, models, projections, reading
from shared import activity_doors, doors, errors, ids, personal, revisions, rpc, store


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


class QuotaService(counting.Counting, reading.Reading, activity_doors.Activity):
    name = "quota"
    trail = activity.TRAIL

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
