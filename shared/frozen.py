"""Frozen dataclasses, changed by making another."""

from typing import Any, TypeVar

T = TypeVar("T")


def changed(thing: T, **changes: Any) -> T:
    """
    What `dataclasses.replace` gives, in a fifth of its time: a message that is counted changes half a dozen.

    :param thing: of a class without slots and without a `__post_init__`
    :param changes: by name; names are not checked, nor are they by `replace` for a type checker
    """
    new = object.__new__(type(thing))
    new.__dict__.update(thing.__dict__, **changes)
    return new
