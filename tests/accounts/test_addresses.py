import pytest

from services.accounts import addresses
from shared import errors

pytestmark = pytest.mark.pure


class TestParse:
    @pytest.mark.parametrize(
        "typed, key",
        [
            ("Ada@Example.COM", "ada@example.com"),
            (" ada+bots@example.com ", "ada+bots@example.com"),
            ("ada@b\u00fccher.example.com", "ada@xn--bcher-kva.example.com"),
        ],
    )
    def test_gives_all_spellings_of_a_mailbox_one_key(self, typed, key):
        assert addresses.parse(typed).key == key

    def test_keeps_how_the_person_writes_it(self):
        assert addresses.parse("Ada@B\u00fccher.example.com").typed == "Ada@b\u00fccher.example.com"

    @pytest.mark.parametrize(
        "typed", ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@example.com\r\nBcc: b@example.com"]
    )
    def test_refuses_what_is_none_and_points_at_it(self, typed):
        with pytest.raises(errors.Invalid, match="invalid_email") as refused:
            addresses.parse(typed)

        assert refused.value.details["errors"][0]["pointer"] == "/email"


class TestDeliverable:
    def test_spells_the_domain_as_every_mail_server_understands(self):
        assert addresses.deliverable("Ada@b\u00fccher.example.com") == "Ada@xn--bcher-kva.example.com"
