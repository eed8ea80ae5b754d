"""The table of what a suspended org is refused: every door and every route that may change something stands in it."""

import itertools

import pytest

from ops import rpc_doors
from services import suspension
from services.gateway import app, documentation, routes
from tests.gateway import examples

pytestmark = pytest.mark.pure

TABLES = (suspension.REFUSED, suspension.REFUSED_WITHIN, suspension.GOES_ON)


def changing_doors() -> set[str]:
    """All but those that only show something."""
    return {door.name for door in rpc_doors.all_doors() if not door.is_query}


@pytest.fixture(scope="module")
def operations() -> list[tuple[str, str, dict[str, object]]]:
    usual = examples.settings()
    site = app.create(usual, services=None, authentication=None, groups=routes.groups(usual))
    return list(documentation.operations(site.test_client().get("/openapi.json").json))


def rule(path: str) -> str:
    """As the route writes it."""
    return path.replace("{", "<").replace("}", ">")


class TestDoors:
    def test_stand_in_one_of_the_tables_each(self):
        assert set().union(*TABLES) == changing_doors()
        assert [one & other for one, other in itertools.combinations(TABLES, 2)] == [set()] * 3


class TestRoutes:
    def test_that_may_change_something_go_through_a_door_of_the_table(self, operations):
        written = {f"{method} {rule(path)}" for path, method, _ in operations if method != "GET"}

        assert written == set(suspension.ROUTES)
        assert set(suspension.ROUTES.values()) <= set().union(*TABLES)

    def test_say_that_they_may_be_refused(self, operations):
        refused = {
            f"{method} {rule(path)}"
            for path, method, operation in operations
            if operation["x-codes"].get("org_suspended") == 403
        }

        assert refused == {
            "PUT /v1/org/owner",
            "PATCH /v1/org",
            "POST /v1/orgs",
            "POST /v1/org/invitations",
            "POST /v1/invitation-acceptances",
            "PUT /v1/subscription",
            "DELETE /v1/subscription/scheduled-change",
            "POST /v1/secrets",
            "POST /v1/secrets/<secret_id>/rotation",
            "POST /v1/bots",
            "PATCH /v1/bots/<bot_id>",
            "DELETE /v1/bots/<bot_id>",
            "POST /v1/bots/<bot_id>/pause",
            "POST /v1/bots/<bot_id>/resume",
            "POST /v1/messages",
        }
