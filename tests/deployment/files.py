"""What the deployment files say, read as the tools read them; and what the code asks of a process."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ops import processes, settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOTENV = ROOT / ".env.example"
K8S = ROOT / "k8s"
STOP_SECONDS = 15.0

# Every process of an installation, by its words after `chatness`: each service is its own.
PROCESSES = [
    *((verb, name) for verb in ("serve", "worker") for name in processes.SERVICES),
    ("serve", "gateway"),
    ("mailroom",),
    ("migrate",),
]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def tool(name: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """One of the checkers that are installed beside this Python."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


@cache
def compose() -> dict[str, Any]:
    """As it stands, before anything is put in for its variables."""
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return read


@cache
def dotenv() -> dict[str, str]:
    lines = [line for line in DOTENV.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def filled_in(text: str, given: Mapping[str, str]) -> str:
    """
    A value with its variables put in, as Compose does it.

    :raises LookupError: with the message of the file, where it asks for a variable that is not given
    """

    def put_in(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        value = given.get(name, "")
        if how == "?" and not value:
            raise LookupError(f"{name} {rest}")
        return value or (rest if how == "-" else "")

    return VARIABLE.sub(put_in, text)


def compose_environment(service: str, given: Mapping[str, str]) -> dict[str, str]:
    environment = compose()["services"][service].get("environment", {})
    return {name: filled_in(str(value), given) for name, value in environment.items()}


def settings_classes(words: Sequence[str]) -> list[type[Any]]:
    """What a process reads when it starts. A migration reads single fields: see `required`."""
    names = words if words[0] == "mailroom" else words[1:]
    return [settings.Settings, *(processes.settings_of(name) for name in names)]


def fields(*kinds: type[Any]) -> "Iterator[dataclasses.Field[Any]]":
    for kind in kinds:
        yield from dataclasses.fields(kind)


def known(words: Sequence[str]) -> set[str]:
    """The settings that a process could be given."""
    if words[0] == "migrate":
        return required(words) | {"CHATNESS_SANDBOX"}
    return {field.metadata["name"] for field in fields(*settings_classes(words))}


def required(words: Sequence[str]) -> set[str]:
    """The settings without which a process does not start."""
    if words[0] == "migrate":
        return {f"{name.upper()}_DATABASE_URL" for name in processes.SERVICES}
    return {
        field.metadata["name"] for field in fields(*settings_classes(words)) if field.default is dataclasses.MISSING
    }


def secret(words: Sequence[str]) -> set[str]:
    """Those of its settings that nobody may read."""
    if words[0] == "migrate":
        return required(words)
    return {field.metadata["name"] for field in fields(*settings_classes(words)) if field.metadata["secret"]}
