"""The door to a service's part of an org's activity; the gateway puts the parts together."""

from typing import Any, ClassVar

from sqlalchemy.orm import Session

from shared import activity, doors, rpc


class Activity(doors.Service):
    """Its methods are doors of the service that says which `trail` is its own."""

    trail: ClassVar[activity.Trail]

    @doors.query("activity:read")
    def list_activity(
        self, session: Session, before: list[str] | None = None, limit: rpc.PageSize = 50
    ) -> list[dict[str, Any]]:
        """
        What happened in the actor's org as far as this service knows, the newest first.

        :param before: `at` and `id` of the last item of the page before
        :returns: of each `{"id", "at", "what", "actor", "subject", "details"}`; the actor is `{"kind", "id",
            "session_id"}`, texts that may be empty, and the subject `{"kind", "id", "name"}` or null
        :raises NotFound: `erased` of an org that was
        :raises Invalid: `invalid_cursor`
        """
        return self.trail.newest(session, self.actor.org_id, before=before, limit=limit)
