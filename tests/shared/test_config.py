import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared import config
from shared.config import setting

pytestmark = pytest.mark.pure


@dataclass(frozen=True)
class Settings:
    url: str = setting("DATABASE_URL", "where the data are", parse=config.url("postgresql"), secret=True)
    workers: int = setting("WORKERS", "how many", parse=config.whole(1, 64), default=10)
    loud: bool = setting("LOUD", "whether to shout", parse=config.boolean, default=False)
    password: str = setting("PASSWORD", "for the door", default="", secret=True)


GOOD = {"DATABASE_URL": "postgresql://u:hunter2@h/d"}


class TestLoad:
    def test_reads_and_parses_what_is_set_and_takes_defaults_for_the_rest(self):
        found = config.load(Settings, {**GOOD, "WORKERS": "3"})

        assert found == Settings(url=GOOD["DATABASE_URL"], workers=3, loud=False, password="")

    def test_counts_an_empty_value_as_not_set(self):
        assert config.load(Settings, {**GOOD, "WORKERS": ""}).workers == 10
        with pytest.raises(config.BadConfiguration, match="DATABASE_URL is not set"):
            config.load(Settings, {"DATABASE_URL": ""})

    def test_reads_a_value_from_the_file_that_is_named_instead(self, tmp_path):
        file = tmp_path / "password"
        file.write_text("s3cret\n")

        assert config.load(Settings, {**GOOD, "PASSWORD_FILE": str(file)}).password == "s3cret"

    def test_names_every_fault_at_once(self):
        with pytest.raises(config.BadConfiguration) as refusal:
            config.load(Settings, {"WORKERS": "65", "LOUD": "perhaps", "PASSWORD_FILE": "/nowhere"})

        assert str(refusal.value).split("; ") == [
            "DATABASE_URL is not set (where the data are)",
            "WORKERS is not valid: 65 is not between 1 and 64",
            "LOUD is not valid: 'perhaps' is neither true nor false",
            "PASSWORD_FILE cannot be read: No such file or directory",
        ]

    def test_never_shows_a_secret_in_a_fault(self):
        with pytest.raises(config.BadConfiguration) as refusal:
            config.load(Settings, {"DATABASE_URL": "mysql://u:hunter2@h/d"})

        assert str(refusal.value) == "DATABASE_URL is not valid"

    def test_refuses_a_file_that_is_no_text(self, tmp_path: Path):
        file = tmp_path / "password"
        file.write_bytes(b"\xff\xfe")

        with pytest.raises(config.BadConfiguration, match=r"^PASSWORD is not valid$"):
            config.load(Settings, {**GOOD, "PASSWORD_FILE": os.fspath(file)})

    @pytest.mark.parametrize("sandbox", ["", "0", "perhaps"])
    def test_refuses_a_secret_that_everybody_knows(self, sandbox: str):
        known = {"DATABASE_URL": "postgresql://u:sandbox-only-accounts@h/d", "CHATNESS_SANDBOX": sandbox}

        with pytest.raises(config.BadConfiguration) as refusal:
            config.load(Settings, known)

        assert str(refusal.value) == "DATABASE_URL is the placeholder that everybody knows: set one of your own"

    def test_takes_it_in_the_sandbox(self):
        known = {"DATABASE_URL": "postgresql://u:sandbox-only-accounts@h/d", "CHATNESS_SANDBOX": "1"}

        assert config.load(Settings, known).url == known["DATABASE_URL"]


class TestLoadOne:
    def test_needs_nothing_else(self):
        assert config.load_one(Settings, "workers", {"WORKERS": "3", "LOUD": "perhaps"}) == 3
        assert config.load_one(Settings, "workers", {}) == 10

    @pytest.mark.parametrize("given", [{}, {"DATABASE_URL": "mysql://u:hunter2@h/d"}])
    def test_refuses_it_as_the_whole_would(self, given: dict[str, str]):
        with pytest.raises(config.BadConfiguration, match=r"^DATABASE_URL is not"):
            config.load_one(Settings, "url", given)


class TestShown:
    def test_blots_out_secrets(self):
        shown = config.shown(config.load(Settings, {**GOOD, "PASSWORD": "hunter2"}))

        assert shown == {"DATABASE_URL": "***", "WORKERS": "10", "LOUD": "False", "PASSWORD": "***"}


class TestGiveUp:
    def test_ends_the_process_with_one_line_and_code_78(self, capsys):
        with pytest.raises(SystemExit) as end:
            config.give_up("DATABASE_URL is not set")

        assert end.value.code == 78
        assert capsys.readouterr().err == "chatness: DATABASE_URL is not set\n"


class TestBoolean:
    @pytest.mark.parametrize(
        "text, value", [("1", True), ("Yes", True), ("on", True), ("FALSE", False), ("0", False)]
    )
    def test_reads_the_usual_words(self, text, value):
        assert config.boolean(text) is value
