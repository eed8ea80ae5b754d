"""`docs/configuration.md`: every setting, from the classes that read them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops import documents, processes, settings

PATH = "docs/configuration.md"

Row = tuple[str, ...]

INTRODUCTION = """\
# Configuration

Made from the settings classes by `make docs`: change it there.

A process reads its settings once, when it starts, from the environment: `NAME`, or `NAME_FILE`, the path of a file
that holds the value (which wins if both are set). An empty value counts as not set. What is missing or cannot be read
ends the process before it does anything, with one line that names every fault, and code 78. So does a secret of
`.env.example` outside the sandbox. The first line of a process's log shows its settings, secrets blotted out.

| Command | Reads |
|---|---|
| `chatness serve SERVICE…` | [every process](#every-process), and the sections of the services that it runs |
| `chatness worker SERVICE…` | the same |
| `chatness serve gateway` | [every process](#every-process) and [the gateway](#the-gateway) |
| `chatness mailroom` | [every process](#every-process) and [the mailroom](#the-mailroom) |
| `chatness migrate` | `…_DATABASE_URL` of the services it migrates, and nothing else |
| `chatness doctor` and the like | all of it, as the processes have it; beside `make run` they find it by themselves |

`make run` makes all of it up; `.env.example` is what Docker Compose is told; `k8s/base/README.md` says which Secrets
Kubernetes needs. How to make keys and to change them is in [going live](going-live.md).
"""

# Read where there is no settings class, because it is read before there is a process, or by the tests.
ELSEWHERE = {
    "CHATNESS_RUN": (
        "the folder in which `make run` keeps its data, and where the command line finds them",
        "`.run`",
    ),
    "CHATNESS_BACKEND": (
        "where `make run` takes PostgreSQL and RabbitMQ from: `local` or `docker`",
        "the programs of this machine, else a Docker engine",
    ),
    "CHATNESS_TEST_BACKEND": ("the same for the tests", "as CHATNESS_BACKEND"),
}


def sections() -> dict[str, type[Any]]:
    """The settings classes by the names of their sections."""
    services = {name.capitalize(): processes.settings_of(name) for name in processes.SERVICES}
    gateway = {"The gateway": processes.settings_of("gateway")}
    return {
        "Every process": settings.Settings,
        **gateway,
        **services,
        "The mailroom": processes.settings_of("mailroom"),
        "The command line": settings.CommandLineSettings,
    }


def render() -> str:
    return "\n".join([INTRODUCTION, *(_section(title, kind) for title, kind in sections().items()), _elsewhere()])


def _section(title: str, kind: type[Any]) -> str:
    rows = [_row(field) for field in dataclasses.fields(kind)]
    return _table(title, ("Setting", "What it is", "If it is not set", "Secret"), rows)


def _row(field: "dataclasses.Field[Any]") -> Row:
    told = field.metadata
    return f"`{told['name']}`", told["help"], _without(field.default), "yes" if told["secret"] else "no"


def _without(default: Any) -> str:
    if default is dataclasses.MISSING:
        return "**the process does not start**"
    if default in (None, "", ()):
        return "—"
    if isinstance(default, Path):
        return f"`{default.relative_to(documents.ROOT)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _elsewhere() -> str:
    rows = [(f"`{name}`", what, default) for name, (what, default) in ELSEWHERE.items()]
    return _table("On a developer's machine", ("Variable", "What it is", "If it is not set"), rows)


def _table(title: str, heads: Row, rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (heads, *rows)]
    rule = "|" + "---|" * len(heads)
    return "\n".join([f"## {title}", "", lines[0], rule, *lines[1:], ""])
