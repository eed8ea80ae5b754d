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

    def test_has_64_kib_at_most(self, client, secret):
        answer = client.post(NOOP, data=b" " * 65_537, content_type="application/json", headers=secret)

        assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


class TestPath:
    @pytest.mark.parametrize("thing_id", ["a%00b", "a%2Fb", "a b", "x" * 65, "%F0%9F%98%80"])
    def test_is_no_route_unless_it_holds_an_id(self, client, owner, thing_id):
        assert client.delete(f"/v1/things/{thing_id}", headers=owner).status_code == 404


class TestIdempotencyKey:
    def test_is_the_command_id(self, client, owner):
        answer = client.post("/v1/things", headers={**owner, "Idempotency-Key": "!my~key"})

        assert answer.json["command_id"] == "!my~key"

    def test_is_made_up_where_there_is_none(self, client, owner):
        command_ids = {client.post("/v1/things", headers=owner).json["command_id"] for _ in range(2)}

        assert len(command_ids) == 2
        assert all(command_id.startswith("cmd_") for command_id in command_ids)

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
