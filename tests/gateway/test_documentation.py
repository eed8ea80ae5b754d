import re

import pytest
import schemathesis

from services.access import PERMISSIONS
from services.gateway import app, documentation, pictures, routes
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
                    assert status == "204" or all(one["schema"] for one in response["content"].values()), (
                        method,
                        path,
                    )
                elif status != "304":
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


# What looks at an org where a service has it, and finds that it was erased.
OF_AN_ORG = {
    *(("GET", "/v1/usage"), ("GET", "/v1/usage/daily"), ("GET", "/v1/usage/statement")),
    *(("GET", "/v1/credits"), ("GET", "/v1/bots"), ("POST", "/v1/messages")),
    ("GET", "/v1/activity"),
}


class TestDescription:
    """The document of the routes that there are, complete enough to write a client from."""

    @pytest.fixture
    def document(self):
        usual = examples.settings()
        site = app.create(usual, services=None, authentication=None, groups=routes.groups(usual))
        return site.test_client().get("/openapi.json").json

    def test_is_valid_by_the_specifications_own_schema(self, document):
        schemathesis.openapi.from_dict(document).validate()

    def test_names_the_headers_of_every_answer(self, operations):
        for path, method, operation in operations:
            for status, response in operation["responses"].items():
                assert headers_of(status) <= set(response["headers"]), (method, path, status)

    def test_names_the_headers_that_a_request_may_have(self, document, operations):
        for path, method, operation in operations:
            headers = {one["name"] for one in operation.get("parameters", []) if one["in"] == "header"}
            assert ("Idempotency-Key" in headers) == (method != "GET"), (method, path)
            # What nobody can read, as a password, has no revision that somebody could have seen.
            readable = "get" in document["paths"][path]
            assert method not in ("PATCH", "PUT") or not readable or "If-Match" in headers, (method, path)
            assert ("If-Match" in headers) == ("412" in operation["responses"]), (method, path)
            assert ("If-None-Match" in headers) == ("304" in operation["responses"]), (method, path)

    def test_names_the_refusals_that_follow_from_what_a_route_is(self, operations):
        for path, method, operation in operations:
            query = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
            codes = operation["x-codes"]
            assert ("invalid_cursor" in codes) == ("cursor" in query), (method, path)
            assert "deadline_passed" in codes, (method, path)
            assert "change_refused" not in codes, (method, path)
            is_command, looks_at_one = "idempotency_in_progress" in codes, (method, path) in OF_AN_ORG
            assert ("erased" in codes) == (is_command or looks_at_one), (method, path)

    def test_promises_no_304_where_more_is_shown_than_the_tag_is_made_of(self, document):
        assert "304" not in document["paths"]["/v1/subscription"]["get"]["responses"]
        assert "stripe_refused" in document["paths"]["/v1/subscription"]["put"]["x-codes"]

    def test_says_what_stands_in_a_path(self, document):
        for path, item in document["paths"].items():
            named = {one["name"]: one["schema"] for one in item.get("parameters", []) if one["in"] == "path"}
            assert set(named) == set(re.findall(r"{(\w+)}", path))
            assert all(schema["pattern"] == "^[A-Za-z0-9_-]{1,64}$" for schema in named.values())

    def test_lets_nothing_but_what_it_names_into_a_body(self, document, operations):
        for path, method, operation in operations:
            for media, body in operation.get("requestBody", {}).get("content", {}).items():
                if media in pictures.MEDIA_TYPES:
                    continue
                schema = body["schema"].get("items", body["schema"])
                name = schema["$ref"].rsplit("/", 1)[-1]
                assert document["components"]["schemas"][name]["additionalProperties"] is False, (method, path)


def headers_of(status):
    needed = {"201": {"Location"}, "401": {"WWW-Authenticate"}, "304": {"ETag"}, "503": {"Retry-After"}}
    return {"Request-Id"} | needed.get(status, set())


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
