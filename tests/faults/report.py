"""
The figures of the long programmes: one JSON document a line in `build/soak.jsonl`, shown in the end of `make soak`.
"""

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "build" / "soak.jsonl"


def add(programme: str, **figures: Any) -> None:
    PATH.parent.mkdir(exist_ok=True)
    with PATH.open("a") as lines:
        lines.write(json.dumps({"programme": programme, **figures}) + "\n")


def show() -> None:
    for line in PATH.read_text().splitlines() if PATH.exists() else ():
        figures = json.loads(line)
        print(f"{figures.pop('programme')}:", ", ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201


if __name__ == "__main__":
    show()
