import json

import pytest
from werkzeug import exceptions

from services.gateway import problems

pytestmark = pytest.mark.pure


class TestRefusals:
    """Kinds of error to statuses, as a client sees them."""

    @pytest.mark.parametrize(
        "name, status, code",
        [
            ("invalid", 422, "name_too_long"),
            ("forbidden", 403, "not_allowed"),
            ("not_found", 404, "not_found"),
            ("conflict", 409, "bot_paused"),
            ("monthly", 429, "message_limit_reached"),
            ("throttled", 429, "rate_limited"),
            ("away", 503, "service_unavailable"),
            ("bug", 500, "internal_error"),
        ],
    )
    def test_have_the_status_of_their_kind_and_their_own_code(self, client, name, status, code):
        answer = client.get(f"/v1/refusals/{name}")

        assert answer.status_code == status
        assert answer.content_type == "application/problem+json"
        assert (answer.json["status"], answer.json["code"]) == (status, code)

    def test_point_to_their_explanation_and_carry_their_details(self, client):
        answer = client.get("/v1/refusals/invalid", headers={"Request-Id": "mine"})

        assert answer.json == {
            "type": "https://api.example.com/docs/errors#name_too_long",
            "title": "Name too long",
            "status": 422,
            "detail": "Too long.",
            "code": "name_too_long",
            "instance": "mine",
            "limit": 80,
        }

    def test_say_when_to_come_back_unless_it_is_a_date(self, client):
        headers = {name: client.get(f"/v1/refusals/{name}").headers for name in ("away", "throttled", "monthly")}

        assert headers["away"]["Retry-After"] == "1"
        assert headers["throttled"]["Retry-After"] == "12"
        assert headers["throttled"]["RateLimit"] == '"tries";r=0;t=12'
        assert not {"Retry-After", "RateLimit"} & set(headers["monthly"].keys())

    def test_show_nothing_of_a_bug(self, client):
        answer = client.get("/v1/refusals/bug")

        assert "hunter2" not in answer.text
        assert "ZeroDivision" not in answer.text

    def test_of_an_unknown_route_and_a_wrong_method_are_problems_too(self, client):
        unknown, wrong = client.get("/v1/nothing-here"), client.put("/v1/things")

        assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")
        assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")
        assert wrong.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


class TestResponse:
    def test_does_not_let_details_replace_the_standard_members(self):
        problem = problems.Problem(status=409, code="taken", detail="Taken.", details={"status": 200, "code": "fine"})

        document = json.loads(problems.response(problem, public_url="").data)

        assert (document["status"], document["code"]) == (409, "taken")


class TestFromException:
    def test_keeps_what_werkzeug_says_of_a_bad_request(self):
        problem = problems.from_exception(exceptions.BadRequest("no such charset"))

        assert (problem.status, problem.code, problem.detail) == (400, "bad_request", "no such charset")
