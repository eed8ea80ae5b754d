import base64

import pytest

from services.gateway import pagination, problems

pytestmark = pytest.mark.pure

KEY = b"k" * 32


def pages(client, headers, **query):
    """The pages of a list, one after the other."""
    while True:
        answer = client.get("/v1/things", query_string=query, headers=headers)
        assert answer.status_code == 200
        yield answer.json
        if answer.json["next_cursor"] is None:
            return
        query["cursor"] = answer.json["next_cursor"]


class TestPages:
    def test_lead_through_the_whole_list_once(self, client, reader):
        all_pages = list(pages(client, reader, limit=50))

        assert [len(page["data"]) for page in all_pages] == [50, 50, 20]
        assert [item["id"] for page in all_pages for item in page["data"]] == [str(number) for number in range(120)]

    def test_have_fifty_items_unless_asked_otherwise(self, client, reader):
        assert len(next(pages(client, reader))["data"]) == 50

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5"])
    def test_have_one_to_a_hundred_items(self, client, reader, limit):
        answer = client.get("/v1/things", query_string={"limit": limit}, headers=reader)

        assert answer.status_code == 422
        assert [fault["parameter"] for fault in answer.json["errors"]] == ["limit"]

    def test_do_not_open_with_the_cursor_of_another_list(self, client, reader):
        foreign = pagination.seal(50, key=b"a key for tests that is no secret", scope="org_2 /v1/things")

        answer = client.get("/v1/things", query_string={"cursor": foreign}, headers=reader)

        assert (answer.status_code, answer.json["code"]) == (400, "invalid_cursor")


class TestUnseal:
    def test_gives_back_what_was_sealed(self):
        position = {"after": "bot_1", "at": 3}

        assert pagination.unseal(pagination.seal(position, key=KEY, scope="a"), key=KEY, scope="a") == position

    def test_refuses_every_single_changed_byte(self):
        sealed = bytearray(base64.urlsafe_b64decode(pagination.seal(50, key=KEY, scope="a") + "=="))

        for position in range(len(sealed)):
            changed = bytearray(sealed)
            changed[position] ^= 1
            with pytest.raises(problems.Problem):
                pagination.unseal(base64.urlsafe_b64encode(changed).decode().rstrip("="), key=KEY, scope="a")

    @pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "a b", "=" * 8])
    def test_refuses_what_is_no_cursor(self, cursor):
        with pytest.raises(problems.Problem):
            pagination.unseal(cursor, key=KEY, scope="a")

    def test_refuses_another_key_and_another_scope(self):
        cursor = pagination.seal(50, key=KEY, scope="a")

        for key, scope in ((b"l" * 32, "a"), (KEY, "b")):
            with pytest.raises(problems.Problem):
                pagination.unseal(cursor, key=key, scope=scope)
