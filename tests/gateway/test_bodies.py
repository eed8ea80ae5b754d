from contextlib import suppress

import pytest

from services.gateway import bodies, problems

pytestmark = pytest.mark.pure


class TestLoad:
    def test_reads_json(self):
        assert bodies.load('{"name": "Zoë 😀", "tags": [1, null]}'.encode()) == {"name": "Zoë 😀", "tags": [1, None]}

    def test_accepts_a_whole_surrogate_pair(self):
        assert bodies.load(rb'"\ud83d\ude00"') == "😀"

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"{} {}",
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b'{"a": 1, "a": 2}',
            b'{"a": {"b": 1, "b": 1}}',
            b'"\xff"',
            b'\xef\xbb\xbf{"a": 1}',
            '{"a": 1}'.encode("utf-16"),
            b"[" * 30_000,
            b"[" * 10_000 + b"]" * 10_000,
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            b'{"a": 1e400}',
            b'{"a": -1e400}',
            b"9" * 5000,
            b'{"a": 01}',
            b"[1,]",
            b'"a\x00b"',
        ],
    )
    def test_refuses_what_is_not_exactly_json(self, raw):
        with pytest.raises(problems.Problem) as refusal:
            bodies.load(raw)

        assert (refusal.value.status, refusal.value.code) == (400, "malformed_json")

    def test_repeats_nothing_of_the_body_in_its_refusal(self):
        with pytest.raises(problems.Problem) as refusal:
            bodies.load(b'{"password": hunter2}')

        assert "hunter2" not in refusal.value.detail

    @pytest.mark.parametrize("depth", range(700, 1000, 25))
    def test_is_not_overcome_by_a_depth_that_is_just_readable(self, depth):
        with suppress(problems.Problem):
            bodies.load(b"[" * depth + b'"\\u0041"' + b"]" * depth)

    @pytest.mark.parametrize("raw", [rb'"\u0000"', rb'{"a": ["\ud800"]}', rb'{"\udfff": 1}'])
    def test_refuses_text_that_cannot_be_stored(self, raw):
        with pytest.raises(problems.Problem) as refusal:
            bodies.load(raw)

        assert (refusal.value.status, refusal.value.code) == (400, "malformed_text")
