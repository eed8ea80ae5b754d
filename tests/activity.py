"""What a service adds to an org's activity, as its tests look at it: its rows, whom it shows them, and a rebuild."""

from typing import Any

from sqlalchemy import text

from services import access
from shared import context, database, doors, errors, read_models, rebuilding


def rows_of(home: database.Database) -> list[tuple[Any, ...]]:
    with home.begin() as session:
        return sorted(map(tuple, session.execute(text("SELECT * FROM activity"))), key=repr)


def is_made_again(home: database.Database, service: str, models: read_models.ReadModels) -> bool:
    """Whether the rows that commands wrote are those that a rebuild makes, where there are none."""
    written = rows_of(home)
    assert written
    assert rebuilding.diff(home, models, limit=10).differences == []
    with home.begin() as session:
        session.execute(text("DELETE FROM activity"))
    rebuilding.rebuild(home, service, models, limit=0)
    return rows_of(home) == written


def pages(service: doors.Service, actor: context.Actor, *, limit: int) -> list[dict[str, Any]]:
    """All that the door gives, page by page."""
    found: list[dict[str, Any]] = []
    before = None
    door: Any = service
    with context.use(actor=actor):
        while page := door.list_activity(before=before, limit=limit):
            assert len(page) <= limit
            assert page[0] not in found  # or it would turn for ever
            found += page
            before = [page[-1]["at"], page[-1]["id"]]
    return found


def who_may(service: doors.Service, org_id: str) -> set[str]:
    """For whom the door opens, of all kinds of actors in the org."""
    actors = {
        "owner": context.Actor(kind="person", id="acc_1", org_id=org_id, role="owner"),
        "member": context.Actor(kind="person", id="acc_2", org_id=org_id, role="member"),
        "secret": context.Actor(kind="secret", id="sec_1", org_id=org_id, scopes=access.SCOPES),
        "service": context.Actor(kind="service", id="bot-runtime", org_id=org_id),
        "anyone": context.ANYONE,
    }
    door: Any = service
    may = set()
    for name, actor in actors.items():
        with context.use(actor=actor):
            try:
                door.list_activity()
            except errors.Forbidden:
                continue
        may.add(name)
    return may
