"""The fixtures are in `tests/stack/stacks.py`."""

from tests.stack.stacks import private, second_url, stack

__all__ = ["private", "second_url", "stack"]
