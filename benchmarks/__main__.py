"""
`python -m benchmarks [name ...]` runs benchmarks, prints a line for each result and adds them to `results.json`.

A benchmark is a module of this package with NAME and `run() -> list[Result]`.
"""

import importlib
import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import benchmarks

RESULTS = Path(__file__).with_name("results.json")


def main(names: list[str]) -> int:
    known = {module.NAME: module for module in _modules()}
    unknown = set(names) - set(known)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        for result in known[name].run():
            print(result, flush=True)
            _add(asdict(result))
    return 0


def _modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__"]
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    return [module for module in modules if hasattr(module, "NAME")]


def _add(result: dict[str, Any]) -> None:
    earlier = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps([*earlier, result], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
