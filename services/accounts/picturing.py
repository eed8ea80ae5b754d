"""accounts' doors about people's pictures."""

from typing import Any

from sqlalchemy.orm import Session

from services.accounts import pictures, projections
from shared import doors


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


class Picturing(doors.Service):
    """A part of the accounts service, which is what is started."""

    @doors.command("account:manage", answer=projections.own_account, secret=("webp",))
    def set_picture(self, session: Session, webp: str, source: str) -> dict[str, str]:
        """
        Give the actor this picture, instead of the one before.

        :param webp: in base64, as the gateway has made it
        :param source: the SHA-256 of what it was made of, by which a repeat is known
        :returns: as `get_account`
        :raises Invalid: `not_a_picture`
        :raises Conflict: `precondition_failed`
        """
        pictures.put(session, self.actor.id, pictures.decoded(webp), source=source)
        return {"account_id": self.actor.id}

    @doors.command("account:manage", answer=_nothing)
    def remove_picture(self, session: Session) -> dict[str, str]:
        """
        Take the actor's picture away; its address is dead at once.

        :raises NotFound: `no_picture`
        :raises Conflict: `precondition_failed`
        """
        pictures.remove(session, self.actor.id)
        return {}

    @doors.query("pictures:read")
    def get_picture(self, session: Session, key: str, known: list[str]) -> dict[str, Any]:
        """
        A picture by its address, for whoever has that.

        :param key: the end of its address
        :param known: revisions of which it need not be sent
        :returns: `{"revision", "webp"}`: the picture in base64, or null if its revision is known
        :raises NotFound: `unknown_picture`: it was replaced or removed, or its person is gone, or there never was one
        """
        return pictures.show(session, key, known=known)
