"""
Settings from the environment, `NAME` or `NAME_FILE` (a file that holds the value), checked before anything starts.

Each process declares what it needs as a frozen dataclass of `setting(...)` fields and calls `load`.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Never, TypeVar

EX_CONFIG = 78  # sysexits.h: something was found in an unconfigured or misconfigured state
PLACEHOLDER = "sandbox-only"  # stands in the secrets of .env.example, which everybody knows
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}

S = TypeVar("S")


class BadConfiguration(Exception):
    """One line for the operator, never with a secret's value."""


def setting(
    name: str,
    help: str,
    *,
    parse: Callable[[str], Any] = str,
    default: Any = dataclasses.MISSING,
    secret: bool = False,
) -> Any:
    """A field of a settings class; without a default it is required. An empty value counts as not set."""
    metadata = {"name": name, "help": help, "parse": parse, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata)


def load(settings: type[S], environ: Mapping[str, str] = os.environ) -> S:
    """
    Read a settings class from the environment.

    :raises BadConfiguration: naming every setting that is missing or unreadable, or a placeholder outside the sandbox
    """
    return settings(**_values(dataclasses.fields(settings), environ))  # type: ignore[arg-type]


def load_one(settings: type[Any], name: str, environ: Mapping[str, str] = os.environ) -> Any:
    """
    Read one field of a settings class, for who needs no more of it.

    :raises BadConfiguration: as `load` does
    """
    (field,) = (field for field in dataclasses.fields(settings) if field.name == name)
    return _values([field], environ).get(name, field.default)


def _values(fields: Iterable[dataclasses.Field[Any]], environ: Mapping[str, str]) -> dict[str, Any]:
    """What is set, by the names of the fields."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in fields:
        name = field.metadata["name"]
        try:
            raw = _raw(name, environ)
            if raw is None:
                faults += _missing(field)
            elif PLACEHOLDER in raw and not _in_sandbox(environ):
                faults.append(f"{name} is the placeholder that everybody knows: set one of your own")
            else:
                values[field.name] = field.metadata["parse"](raw)
        except OSError as error:
            faults.append(f"{name}_FILE cannot be read: {error.strerror}")
        except ValueError as error:
            faults.append(f"{name} is not valid" + ("" if field.metadata["secret"] else f": {error}"))
    if faults:
        raise BadConfiguration("; ".join(faults))
    return values


def _missing(field: dataclasses.Field[Any]) -> list[str]:
    if field.default is not dataclasses.MISSING:
        return []
    return [f"{field.metadata['name']} is not set ({field.metadata['help']})"]


def _in_sandbox(environ: Mapping[str, str]) -> bool:
    return environ.get("CHATNESS_SANDBOX", "").lower() in TRUE


def shown(settings: Any) -> dict[str, str]:
    """The settings for one log line, secrets blotted out."""
    return {
        field.metadata["name"]: "***" if field.metadata["secret"] else str(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
    }


def give_up(message: str) -> Never:
    """End the process the way bad configuration ends it: one clear line and code 78."""
    print(f"chatness: {message}", file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(EX_CONFIG)


def _raw(name: str, environ: Mapping[str, str]) -> str | None:
    path = environ.get(f"{name}_FILE")
    if path:
        return Path(path).read_text().strip() or None
    return environ.get(name) or None


def boolean(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not minimum <= number <= maximum:
            raise ValueError(f"{number} is not between {minimum} and {maximum}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not any(text.startswith(f"{scheme}://") for scheme in schemes):
            raise ValueError(f"it must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text

    return parse
