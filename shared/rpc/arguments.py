"""
Whether what a caller sent is what a door takes: the names of its arguments, and their types, as it declares them.

Made once per door. A text with NUL or half of a surrogate pair is none: neither PostgreSQL nor JSON could hold it.
"""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from shared import errors

Check = Callable[[Any], bool]

BIGGEST = 2**63 - 1  # PostgreSQL's bigint
PageSize = typing.Annotated[int, range(1, 1001)]


class Arguments:
    def __init__(self, door: str, method: Callable[..., Any]) -> None:
        self._door = door
        self._signature = inspect.signature(method, eval_str=True)
        parameters = [*self._signature.parameters.values()][1:]
        self._wanted = {parameter.name: parameter.annotation for parameter in parameters}
        self._checks = {name: _check(kind) for name, kind in self._wanted.items()}

    def read(self, body: dict[str, Any]) -> dict[str, Any]:
        """
        The arguments in the body of a call, by name: those, too, that came by position.

        :raises Invalid: `invalid_arguments`, and which one
        """
        args, kwargs = body.get("args"), body.get("kwargs")
        try:
            given = self._signature.bind(None, *args, **kwargs).arguments  # type: ignore[misc, arg-type]
        except TypeError as error:
            raise errors.Invalid("invalid_arguments", f"{self._door}: {error}") from None
        for name, check in self._checks.items():
            if name in given and not check(given[name]):
                raise errors.Invalid("invalid_arguments", f"{self._door}: {name} is not {shown(self._wanted[name])}")
        return {name: given[name] for name in self._checks if name in given}


def shown(kind: Any) -> str:
    """A type as a signature shows it."""
    if typing.get_origin(kind) is typing.Annotated:
        whole, allowed = typing.get_args(kind)
        return f"{shown(whole)} from {allowed.start} to {allowed.stop - 1}"
    return inspect.formatannotation(kind).replace("typing.", "")


def _check(kind: Any) -> Check:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        _, allowed = typing.get_args(kind)
        return lambda value: _is_whole(value) and value in allowed
    if origin in (typing.Union, types.UnionType):
        checks = [_check(one) for one in typing.get_args(kind)]
        return lambda value: any(check(value) for check in checks)
    if origin is list:
        one_is_right = _check(typing.get_args(kind)[0])
        return lambda value: isinstance(value, list) and all(map(one_is_right, value))
    return _CHECKS.get(origin or kind, _anything)


def _anything(_value: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -BIGGEST <= value <= BIGGEST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


_CHECKS: dict[Any, Check] = {
    str: _is_text,
    int: _is_whole,
    float: _is_number,
    bool: lambda value: isinstance(value, bool),
    dict: lambda value: isinstance(value, dict),
    type(None): lambda value: value is None,
}
