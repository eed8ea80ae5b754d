import pytest

from services.accounts import inputs
from shared import errors

pytestmark = pytest.mark.pure


def refusal(check, *arguments, **named):
    with pytest.raises(errors.Invalid) as refused:
        check(*arguments, **named)
    return refused.value


class TestName:
    @pytest.mark.parametrize(
        "name", ["Ada", "X", "\u0645\u06cc\u200c\u0631\u0648\u0645", "O'Neill-Smith, 3rd", "n" * 100]
    )
    def test_takes_what_people_are_called(self, name):
        assert inputs.name(name) == name

    def test_drops_spaces_around_it_and_composes_accents(self):
        assert inputs.name("  Zoe\u0308 ") == "Zo\u00eb"

    @pytest.mark.parametrize(
        "name", ["", "   ", "n" * 101, "Ada\r\nBcc: x@example.com", "a\0b", "a\u2028b", "\u202eadA"]
    )
    def test_refuses_what_could_deceive_and_points_at_it(self, name):
        refused = refusal(inputs.name, name)

        assert refused.code == "invalid_name"
        assert refused.details["errors"][0]["pointer"] == "/name"


class TestLines:
    def test_keeps_line_breaks_in_one_spelling(self):
        assert inputs.lines("1 Road\r\nLondon\n", field="address", maximum=500) == "1 Road\nLondon"

    @pytest.mark.parametrize("text", ["a" * 501, "a\tb", "a\x1bb"])
    def test_refuses_other_control_characters_and_length(self, text):
        assert refusal(inputs.lines, text, field="address", maximum=500).code == "invalid_address"


class TestCheckPassword:
    @pytest.mark.parametrize(
        "password",
        [
            "correct horse battery staple",
            "fifteen-letters",
            "x" * 5 + "abdefghiklm" + "y" * 112,
            "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604 five faces",
            "no rules of composition whatever",
        ],
    )
    def test_takes_long_ones_of_any_characters(self, password):
        inputs.check_password(password, context_words=[])

    def test_counts_characters_as_they_are_composed_in_the_end(self):
        fourteen = "a\u0308" * 3 + "bcdefghijkl"

        assert refusal(inputs.check_password, fourteen, context_words=[]).code == "password_too_short"

    @pytest.mark.parametrize("length, code", [(14, "password_too_short"), (129, "password_too_long")])
    def test_has_a_length(self, length, code):
        password = ("sphinx of black quartz " * 10)[:length]

        assert refusal(inputs.check_password, password, context_words=[]).code == code

    @pytest.mark.parametrize(
        "password",
        [
            "aaaaaaaaaaaaaaaaaaaa",
            "1212121212121212",
            "passwordpassword",
            "Password123456789",
            "qwertyuiopasdfghjkl",
            "1q2w3e4r5t6y7u8i9o0p",
            "iloveyou1234567",
            "chatness-chatness-1",
        ],
    )
    def test_refuses_common_words_strung_together(self, password):
        assert refusal(inputs.check_password, password, context_words=[]).code == "password_too_common"

    def test_refuses_what_is_little_more_than_the_own_address(self):
        refused = refusal(inputs.check_password, "Ada.Lovelace2026!", context_words=["ada.lovelace"])

        assert refused.code == "password_too_common"
        assert refused.details["errors"][0]["pointer"] == "/password"

    def test_does_not_mind_a_word_too_short_to_mean_anything(self):
        inputs.check_password("Canadaisfarawaynow", context_words=["ada"])
