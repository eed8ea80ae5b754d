import re

import pytest

from services.access import PERMISSIONS
from services.gateway import documentation, routes
from services.gateway.routing import ANY_TOKEN, ANYONE
from tests.gateway import examples

pytestmark = pytest.mark.pure


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json


@pytest.fixture
def operations(document):
    return list(documentation.operations(document))


class TestOpenapi:
    def test_is_of_version_3_1_and_describes_the_routes(self, document):
        assert document["openapi"] == "3.1.0"
        assert "post" in document["paths"]["/v1/noop"]

    def test_gives_every_operation_a_summary_an_answer_and_its_refusals(self, operations):
        for path, method, operation in operations:
            statuses = set(operation["responses"])
            assert operation["summary"].endswith("."), (method, path)
            assert any(status.startswith("2") for status in statuses), (method, path)
            assert {"500", "503"} <= statuses, (method, path)
            for status, response in operation["responses"].items():
                if status.startswith("2"):
                    assert status == "204" or response["content"]["application/json"]["schema"], (method, path)
                else:
                    schema = response["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, (method, path, status)

    def test_says_who_may(self, operations):
        for path, method, operation in operations:
            permission = operation["x-permission"]
            assert permission in {*PERMISSIONS, ANYONE, ANY_TOKEN}, (method, path)
            assert bool(operation["security"]) == (permission != ANYONE), (method, path)

    def test_has_no_operation_twice(self, operations):
        names = [operation["operationId"] for _, _, operation in operations]

        assert len(names) == len(set(names))


class TestPages:
    def test_list_every_operation_and_load_nothing_from_elsewhere(self, client, operations):
        page = client.get("/docs").text

        assert all(f'id="{operation["operationId"]}"' in page for _, _, operation in operations)
        assert not re.search(r"(src|href)=\"(https?:)?//", page)
        assert "<script" not in page

    def test_explain_every_code_where_a_problem_points_to(self, client, operations):
        page = client.get("/docs/errors").text

        for _, _, operation in operations:
            assert all(f'id="{code}"' in page for code in operation["x-codes"])


class TestGroups:
    def test_hold_the_noop_route_only_if_it_is_switched_on(self):
        usual, measured = examples.settings(), examples.settings(CHATNESS_NOOP_ROUTE="1")

        assert "operations" not in [group.name for group in routes.groups(usual)]
        assert "operations" in [group.name for group in routes.groups(measured)]
