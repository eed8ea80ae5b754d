import re

import pytest

pytestmark = pytest.mark.pure


class TestRequestId:
    def test_is_the_callers_if_it_is_sane(self, client):
        assert client.get("/v1/x", headers={"Request-Id": "a.B-c_9"}).headers["Request-Id"] == "a.B-c_9"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "a\tb", "<script>"])
    def test_is_made_if_it_is_not(self, client, given):
        answer = client.get("/v1/x", headers={"Request-Id": given})

        assert re.fullmatch(r"req_[0-9a-z]{26}", answer.headers["Request-Id"])
        assert answer.json["instance"] == answer.headers["Request-Id"]


class TestHeaders:
    def test_are_on_every_answer(self, client):
        for path in ("/v1/refusals/bug", "/nowhere", "/docs", "/openapi.json"):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"

    def test_keep_the_api_out_of_caches(self, client):
        assert client.get("/v1/things").headers["Cache-Control"] == "no-store"
        assert "Cache-Control" not in client.get("/openapi.json").headers
