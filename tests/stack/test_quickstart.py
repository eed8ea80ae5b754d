"""`docs/quickstart.md` is true: what it says to type is typed, and what comes is what it shows, up to ids."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stack.stacks import Running

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"  # where the page's stack is; ours is elsewhere
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "\x1e"  # ends what a block says

# What differs from one run to the next, and what stands for it.
VARYING = {
    r"\b(acc|org|bot|sec|ses|req)_[a-z0-9]{26}\b": r"\1_…",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z": "a moment",
    r"\b\d{4}-\d\d\b": "a month",
    r"token=[\w-]{43}": "token=…",
}


@dataclass
class Step:
    """:param shown: the answers that stand below the block, in order"""

    typed: str
    shown: list[str]


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for language, text in FENCE.findall(page):
        if language == "bash":
            found.append(Step(text, []))
        elif language in ("json", "text"):
            found[-1].shown.append(text)
    return found


def run_all(steps: list[Step], **environment: str) -> list[str]:
    """What each step says, all typed into one shell, which ends at the first that fails."""
    script = "".join(f"{step.typed}printf '{END}'\n" for step in steps)
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = ended.stdout.split(END)[:-1]
    assert len(said) == len(steps), f"{steps[len(said)].typed}{ended.stdout[-2000:]}{ended.stderr}"
    return said


def constant(text: str) -> list[Any]:
    """Without what varies: the JSON documents in it, and each line that is none."""
    for pattern, stands_for in VARYING.items():
        text = re.sub(pattern, stands_for, text)
    found: list[Any] = []
    while text := text.strip():
        try:
            document, end = json.JSONDecoder().raw_decode(text)
        except json.JSONDecodeError:
            document, _, text = text.partition("\n")
        else:
            text = text[end:]
        found.append(document)
    return found


def test_what_the_quickstart_shows_is_what_comes(stack: Running) -> None:
    assert shutil.which("curl"), "the quickstart is played with curl, which is not installed"
    typed = steps((ROOT / "docs/quickstart.md").read_text().replace(ADDRESS, stack.url))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    said = run_all(typed, CHATNESS_RUN=str(stack.directory), PATH=path)

    assert sum(len(step.shown) for step in typed) > 10
    for step, came in zip(typed, said, strict=True):
        assert constant(came) == constant("\n".join(step.shown)), step.typed
