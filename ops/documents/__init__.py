"""
The pages of `docs/` that are made from the code: a module for each, with its `PATH` and `render() -> str`.

`make docs` writes them; a test fails while one of them is stale. A new module is entered in `DOCUMENTS`.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS: Sequence[str] = (
    "alerts",
    "asyncapi",
    "configuration",
    "errors",
    "events",
    "metrics",
    "rpc",
)


def render_all() -> dict[Path, str]:
    """What each document should hold, by its path."""
    modules = [import_module(f"ops.documents.{name}") for name in DOCUMENTS]
    return {ROOT / module.PATH: module.render() for module in modules}
