"""The figures of the long programmes, one JSON document a line, in `build/soak.jsonl`; `make soak` begins it anew."""

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "build" / "soak.jsonl"


def add(programme: str, **figures: Any) -> None:
    PATH.parent.mkdir(exist_ok=True)
    with PATH.open("a") as lines:
        lines.write(json.dumps({"programme": programme, **figures}) + "\n")
