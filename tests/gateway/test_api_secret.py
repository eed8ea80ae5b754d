import re
from pathlib import Path

import pytest

from services.gateway import api_secret

pytestmark = pytest.mark.pure


class TestGenerate:
    def test_makes_a_well_formed_secret_each_time_another(self):
        secrets = {api_secret.generate("live") for _ in range(1000)}

        assert len(secrets) == 1000
        assert all(re.fullmatch(r"chs_live_[0-9A-Za-z]{38}", secret) for secret in secrets)
        assert all(api_secret.is_well_formed(secret) for secret in secrets)

    def test_marks_a_test_secret(self):
        assert api_secret.generate("test").startswith("chs_test_")


class TestChecksum:
    def test_is_crc32_in_base62_padded_with_zeros(self):
        # CRC-32 of "123456789" has a published check value: 0xCBF43926, which is 3 45 35 27 22 14 in base 62
        assert api_secret.checksum("123456789") == "3jZRME"

    def test_has_six_characters_even_for_a_small_number(self):
        assert api_secret.checksum("") == "000000"


class TestIsWellFormed:
    def test_refuses_every_single_changed_character(self):
        secret = api_secret.generate("live")

        for position in range(len("chs_live_"), len(secret)):
            other = "a" if secret[position] != "a" else "b"
            assert not api_secret.is_well_formed(secret[:position] + other + secret[position + 1 :])

    @pytest.mark.parametrize("change", [str.upper, lambda secret: secret[:-1], lambda secret: secret + "0"])
    def test_refuses_another_form(self, change):
        assert not api_secret.is_well_formed(change(api_secret.generate("live")))

    def test_refuses_a_secret_of_another_mode_with_the_same_checksum(self):
        assert not api_secret.is_well_formed(api_secret.generate("live").replace("live", "test"))


class TestPattern:
    def test_is_published_with_what_the_checksum_is(self):
        page = (Path(__file__).parents[2] / "SECURITY.md").read_text()

        assert f"`{api_secret.PATTERN}`" in page
        assert re.fullmatch(api_secret.PATTERN, api_secret.generate("live"))


class TestBlotted:
    def test_leaves_nothing_of_a_secret_in_a_text_whole_or_cut_off(self):
        secret = api_secret.generate("live")
        text = f"https://paste.example/?key={secret}&half={secret[:20]}#{secret}x"

        assert api_secret.blotted(text) == "https://paste.example/?key=chs_…&half=chs_…#chs_…"

    def test_leaves_another_text_as_it_is(self):
        assert api_secret.blotted("https://paste.example/chs") == "https://paste.example/chs"


class TestFingerprint:
    def test_is_the_sha256_in_hexadecimal(self):
        assert api_secret.fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
