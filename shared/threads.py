"""
Threads of the operating system, also where the process is green and `threading` makes green ones.

What runs in such a thread of a green process may touch nothing green: no lock, no log, no database of the services.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def real(module: str) -> Any:
    """A module of the standard library as it is where nothing is green."""
    patcher = sys.modules.get("eventlet.patcher")  # a process that is not green has no need to load it
    return importlib.import_module(module) if patcher is None else patcher.original(module)


def spawn(run: Callable[[], None], *, name: str = "") -> None:
    """Run it in a thread that ends with the process."""
    real("threading").Thread(target=run, name=name or None, daemon=True).start()
