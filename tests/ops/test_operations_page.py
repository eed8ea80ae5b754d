"""Whoever follows docs/operations.md at night must not meet a command that does not exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

from ops import cli, exits

pytestmark = pytest.mark.pure

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
FENCED = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = sorted(
    {line for block in FENCED.findall(PAGE) for line in block.splitlines()}
    | set(re.findall(r"`(chatness [^`]+)`", PAGE.replace("\n", " ")))
)


def check(command: str) -> None:
    """
    Parse a command as it would be run, without running it.

    :raises UsageError: if there is no such command, option or choice
    """
    name, *words = shlex.split(command)
    assert name == "chatness"
    found: click.Command = cli.main
    while isinstance(found, click.Group) and not (found.invoke_without_command and words[0].startswith("--")):
        assert set(words[:1]) & set(found.commands), f"{found.name} has no command {words[:1]}"
        found = found.commands[words.pop(0)]
    found.make_context(found.name, words)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_exists(command):
    check(command)


def test_there_are_commands_on_the_page():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("command", ["chatness parked redo", "chatness jobs list --failed", "chatness jobs cancel x"])
def test_a_command_that_does_not_exist_would_be_found(command):
    with pytest.raises((AssertionError, click.UsageError)):
        check(command)


def test_the_page_has_every_exit_code():
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == {*codes, 78}
