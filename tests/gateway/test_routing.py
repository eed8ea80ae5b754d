import pytest

pytestmark = pytest.mark.pure

NOOP = "/v1/noop"
MESSAGE = {"bot_id": "bot_1", "id": "msg_1"}


class TestAuthentication:
    def test_is_asked_for(self, client):
        answer = client.post(NOOP, json=MESSAGE)

        assert (answer.status_code, answer.json["code"]) == (401, "token_required")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer nobodys", "chs_live_x"]
    )
    def test_refuses_a_token_that_is_nobodys(self, client, header):
        answer = client.post(NOOP, json=MESSAGE, headers={"Authorization": header})

        assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer error=")

    def test_comes_before_the_body_is_looked_at(self, client):
        assert client.post(NOOP, data=b"{").status_code == 401


class TestOptionalToken:
    def test_is_done_for_nobody_and_for_whoever_comes_with_a_token(self, client, owner, secret):
        answers = [client.put("/v1/things/1", headers=headers).json for headers in ({}, owner, secret)]

        assert [(one["command_id"], one["org_id"]) for one in answers] == [
            ("anyone", ""),
            ("person", "org_1"),
            ("secret", "org_1"),
        ]

    @pytest.mark.parametrize("header", ["Bearer nobodys", "Basic YTpi", "Bearer"])
    def test_that_is_not_good_is_refused_all_the_same(self, client, header):
        answer = client.put("/v1/things/1", headers={"Authorization": header})

        assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")


class TestPermission:
    def test_needs_the_secrets_scope(self, client, secret, reader):
        allowed, refused = (client.post(NOOP, json=MESSAGE, headers=headers) for headers in (secret, reader))

        assert allowed.status_code == 201
        assert (refused.status_code, refused.json["code"]) == (403, "insufficient_scope")

    def test_may_be_the_owners_alone(self, client, owner, member, secret):
        answers = [client.delete("/v1/things/thing_1", headers=headers) for headers in (owner, member, secret)]

        assert [answer.status_code for answer in answers] == [204, 403, 403]
        assert [answer.json["code"] for answer in answers[1:]] == ["owner_only", "not_allowed"]

    def test_may_be_any_token_at_all(self, client, reader, member):
        assert [client.post("/v1/things", headers=headers).status_code for headers in (reader, member)] == [201, 201]


class TestBody:
    def test_reaches_the_view(self, client, secret):
        answer = client.post(NOOP, json=MESSAGE, headers=secret)

        assert (answer.json["id"], answer.json["bot_id"]) == ("msg_1", "bot_1")

    def test_is_refused_field_by_field(self, client, secret):
        answer = client.post(NOOP, json={"id": "a b", "x/~y": 1}, headers=secret)

        assert (answer.status_code, answer.json["code"]) == (422, "invalid_fields")
        assert {fault["pointer"] for fault in answer.json["errors"]} == {"/bot_id", "/id", "/x~1~0y"}

    @pytest.mark.parametrize("body", ["[]", "null", "1", '"bot_1"'])
    def test_is_an_object(self, client, secret, body):
        answer = client.post(NOOP, data=body, content_type="application/json", headers=secret)

        assert answer.status_code == 422
        assert [fault["pointer"] for fault in answer.json["errors"]] == [""]

    @pytest.mark.parametrize(
        "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
    )
    def test_is_json(self, client, secret, media_type):
        answer = client.post(NOOP, data="{}", content_type=media_type, headers=secret)

        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Encoding": "gzip"},
            {"Content-Type": "application/json; charset=latin-1"},
            {"Content-Type": "application/json; charset=utf-16"},
        ],
    )
    def test_is_plain_utf_8(self, client, secret, headers):
        answer = client.post(NOOP, data="{}", headers={"Content-Type": "application/json", **secret, **headers})

        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("media_type", ["application/json; charset=UTF-8", "Application/JSON"])
    def test_may_say_so(self, client, secret, media_type):
        headers = {**secret, "Content-Type": media_type, "Content-Encoding": "identity"}

        assert client.post(NOOP, data='{"bot_id": "bot_1"}', headers=headers).status_code == 201

    @pytest.mark.parametrize("value", [10**30, -1, 1.5, True, None, [], {}])
    def test_has_fields_of_their_own_kind(self, client, secret, value):
        answer = client.post(NOOP, json={"bot_id": value}, headers=secret)

        assert (answer.status_code, answer.json["code"]) == (422, "invalid_fields")

    def test_has_64_kib_at_most(self, client, secret):
        answer = client.post(NOOP, data=b" " * 65_537, content_type="application/json", headers=secret)

        assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


class TestPath:
    @pytest.mark.parametrize("thing_id", ["a%00b", "a%2Fb", "a b", "x" * 65, "%F0%9F%98%80"])
    def test_is_no_route_unless_it_holds_an_id(self, client, owner, thing_id):
        assert client.delete(f"/v1/things/{thing_id}", headers=owner).status_code == 404


class TestAccept:
    @pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json", "text/html, */*;q=0.1", ""])
    def test_may_be_anything_that_json_is(self, client, secret, accept):
        assert client.post(NOOP, json=MESSAGE, headers={**secret, "Accept": accept}).status_code == 201

    @pytest.mark.parametrize(
        "accept", ["text/html", "application/json;q=0, text/html", "application/xml", "nonsense"]
    )
    def test_is_refused_where_it_leaves_out_json(self, client, secret, accept):
        answer = client.post(NOOP, json=MESSAGE, headers={**secret, "Accept": accept})

        assert (answer.status_code, answer.json["code"]) == (406, "not_acceptable")

    def test_matters_not_where_there_is_no_body(self, client, owner):
        assert client.delete("/v1/things/thing_1", headers={**owner, "Accept": "text/html"}).status_code == 204


class TestMethod:
    @pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "PATCH", "FOO"])
    def test_that_a_route_does_not_have_is_405(self, client, owner, method):
        answer = client.open("/v1/things", method=method, headers=owner)

        assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"

    def test_head_is_get_without_a_body(self, client, reader):
        asked, shown = (client.open("/v1/things", method=method, headers=reader) for method in ("HEAD", "GET"))

        assert (asked.status_code, asked.data) == (200, b"")
        assert asked.headers["Content-Length"] == shown.headers["Content-Length"]

    def test_options_lists_the_methods(self, client):
        answer = client.options("/v1/things")

        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


class TestIfMatch:
    def test_reaches_the_service_that_owns_the_thing(self, client, owner):
        answer = client.patch("/v1/things/thing_1", headers={**owner, "If-Match": '"a", W/"b" ,"c"'})

        assert answer.json["id"] == "a c"

    @pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}])
    def test_may_be_left_out(self, client, owner, headers):
        assert client.patch("/v1/things/thing_1", headers={**owner, **headers}).json["id"] == "any"

    @pytest.mark.parametrize("value", ["", "a", '"a', 'a"', '"a" "b"', '"a",*', "W/a", '"é"', "'a'"])
    def test_is_refused_where_it_makes_no_sense(self, client, owner, value):
        answer = client.patch("/v1/things/thing_1", headers={**owner, "If-Match": value})

        assert (answer.status_code, answer.json["code"]) == (400, "invalid_if_match")


class TestETag:
    def test_is_of_what_is_shown_and_spares_showing_it_again(self, client, owner):
        shown = client.get("/v1/things/thing_1", headers=owner)
        tag = shown.headers["ETag"]

        for known in (tag, f'"another", {tag}', f"W/{tag}", "*"):
            again = client.get("/v1/things/thing_1", headers={**owner, "If-None-Match": known})
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        for unknown in ('"another"', tag.strip('"'), "nonsense"):
            assert client.get("/v1/things/thing_1", headers={**owner, "If-None-Match": unknown}).status_code == 200

    def test_changes_with_the_thing(self, client, owner):
        tags = {client.get(f"/v1/things/{thing}", headers=owner).headers["ETag"] for thing in ("one", "two")}

        assert len(tags) == 2


class TestIdempotencyKey:
    def test_is_the_command_id(self, client, owner):
        answer = client.post("/v1/things", headers={**owner, "Idempotency-Key": "!my~key"})

        assert answer.json["command_id"] == "!my~key"

    def test_is_made_up_where_there_is_none(self, client, owner):
        command_ids = {client.post("/v1/things", headers=owner).json["command_id"] for _ in range(2)}

        assert len(command_ids) == 2
        assert all(command_id.startswith("cmd_") for command_id in command_ids)

    def test_means_nothing_where_nothing_changes(self, client, reader):
        assert client.get("/v1/things", headers={**reader, "Idempotency-Key": "a b"}).status_code == 200

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
    def test_is_visible_ascii(self, client, owner, key):
        answer = client.post("/v1/things", headers={**owner, "Idempotency-Key": key})

        assert (answer.status_code, answer.json["code"]) == (400, "invalid_idempotency_key")


class TestAnswer:
    def test_says_where_the_thing_is_and_leaves_out_what_the_schema_does_not_know(self, client, owner):
        answer = client.post("/v1/things", headers=owner)

        assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/things/thing_1")
        assert set(answer.json) == {"id", "org_id", "command_id"}

    def test_has_no_body_where_there_is_nothing_to_say(self, client, owner):
        answer = client.delete("/v1/things/thing_1", headers=owner)

        assert (answer.status_code, answer.data) == (204, b"")
