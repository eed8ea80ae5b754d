import pytest

from services.secrets import peppers

pytestmark = pytest.mark.pure


class TestParse:
    def test_keeps_the_order_and_gives_each_a_short_id_of_its_own(self):
        first, second = peppers.parse(f"{'a' * 32}, {'b' * 40}")

        assert (first.key, second.key) == (b"a" * 32, b"b" * 40)
        assert len(first.id) == len(second.id) == 8
        assert first.id != second.id

    @pytest.mark.parametrize("text", ["", "a" * 31, f"{'a' * 32},", f"{'a' * 32},short"])
    def test_refuses_a_short_one(self, text):
        with pytest.raises(ValueError, match="at least 32"):
            peppers.parse(text)


class TestDigest:
    def test_depends_on_the_pepper_and_the_value(self):
        first, second = peppers.parse(f"{'a' * 32},{'b' * 32}")

        made = {peppers.digest(pepper, sha256) for pepper in (first, second) for sha256 in ("0a" * 32, "0b" * 32)}

        assert len(made) == 4
