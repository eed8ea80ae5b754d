"""
Form-encoded parameters, decoded as Stripe decodes them and checked against a declared shape.

A shape is a dict of names. A value is `str`, `int`, `bool`, a range of integers, a tuple of allowed words, `[shape]`
for a list, a nested dict, `METADATA`, `MOMENTS` (a time or a range of times), or any of these inside `Required` or
`Unset`. Of metadata, and of what is inside `Unset`, an empty text takes away what was there: it arrives as None.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from sandbox.stripe import errors

METADATA: Literal["metadata"] = "metadata"
MOMENTS: Literal["moments"] = "moments"
AMOUNT = range(10**9)
QUANTITY = range(1, 10**6)
LISTING = {"limit": range(1, 101), "starting_after": str, "ending_before": str}
_RANGE = {"gt": int, "gte": int, "lt": int, "lte": int}


@dataclass(frozen=True)
class Required:
    shape: Any


@dataclass(frozen=True)
class Unset:
    """May be empty. Stripe refuses that of all else, as an attempt to unset what cannot be."""

    shape: Any


def decode(form: str) -> dict[str, Any]:
    """`items[0][price]=p&expand[]=x` as `{"items": {"0": {"price": "p"}}, "expand": {"": ["x"]}}`, unchecked."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        _place(tree, [name.partition("[")[0], *re.findall(r"\[([^\]]*)\]", name)], name, value)
    return tree


def check(tree: dict[str, Any], shape: dict[str, Any], *, inside: str = "") -> dict[str, Any]:
    """
    The parameters as Python values, in the shape of the call.

    :raises StripeError: 400 for a name the call does not know, a missing one, or a value of another type
    """
    for name in tree:
        if name not in shape:
            param = _path(inside, name)
            raise errors.invalid(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")
    for name, expected in shape.items():
        if isinstance(expected, Required) and tree.get(name) in (None, "", {}):
            param = _path(inside, name)
            raise errors.invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    return {name: _value(value, shape[name], _path(inside, name)) for name, value in tree.items()}


def _place(tree: dict[str, Any], path: list[str], name: str, value: str) -> None:
    for part in path[:-1]:
        tree = _branch(tree, part, name, {})
    if path[-1] == "":
        _branch(tree, "", name, []).append(value)
    else:
        tree[path[-1]] = value


def _branch(tree: dict[str, Any], part: str, name: str, empty: Any) -> Any:
    branch = tree.setdefault(part, empty)
    if type(branch) is not type(empty):
        raise errors.invalid(f"Invalid {name}: it is given in two forms", param=name)
    return branch


def _path(inside: str, name: str) -> str:
    return f"{inside}[{name}]" if inside else name


def _value(raw: Any, shape: Any, param: str) -> Any:
    if isinstance(shape, Required):
        return _value(raw, shape.shape, param)
    if isinstance(shape, Unset):
        return None if raw == "" else _value(raw, shape.shape, param)
    if isinstance(shape, list):
        return _list(raw, shape[0], param)
    if raw == "":
        return _empty(shape, param)
    if isinstance(shape, dict):
        return check(_hash(raw, param), shape, inside=param)
    if shape == METADATA:
        return _metadata(raw, param)
    if shape == MOMENTS:
        return check(raw, _RANGE, inside=param) if isinstance(raw, dict) else _integer(raw, param)
    return _word(raw, shape, param)


def _empty(shape: Any, param: str) -> None:
    if shape == METADATA:
        return
    if shape in (int, MOMENTS) or isinstance(shape, range):
        _integer("", param)
    message = f"You passed an empty string for '{param}', which cannot be unset."
    raise errors.invalid(message, param=param, code="parameter_invalid_empty")


def _word(raw: Any, shape: Any, param: str) -> Any:
    if not isinstance(raw, str):
        raise errors.invalid(f"Invalid string: {param} must be a single value", param=param)
    if shape is int:
        return _integer(raw, param)
    if shape is bool:
        return _boolean(raw, param)
    if isinstance(shape, range):
        return _within(_integer(raw, param), shape, param)
    if isinstance(shape, tuple) and raw not in shape:
        raise errors.invalid(f"Invalid {param}: must be one of {', '.join(shape)}", param=param)
    return raw


def _integer(raw: str, param: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,15}", raw) is None:
        raise errors.invalid(f"Invalid integer: {raw}", param=param, code="parameter_invalid_integer")
    return int(raw)


def _within(number: int, bounds: range, param: str) -> int:
    if number not in bounds:
        message = f"Invalid integer: {param} must be between {bounds.start} and {bounds.stop - 1}"
        raise errors.invalid(message, param=param)
    return number


def _boolean(raw: str, param: str) -> bool:
    if raw not in ("true", "false"):
        raise errors.invalid(f"Invalid boolean: {raw}", param=param)
    return raw == "true"


def _hash(raw: Any, param: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise errors.invalid(f"Invalid object: {param} must be a hash", param=param)
    return raw


def _list(raw: Any, shape: Any, param: str) -> list[Any]:
    branch = _hash(raw, param)
    if "" in branch and isinstance(branch[""], list):
        values = branch[""]
    elif all(key.isdigit() for key in branch):
        values = [branch[key] for key in sorted(branch, key=int)]
    else:
        raise errors.invalid(f"Invalid array: {param}", param=param)
    return [_value(value, shape, _path(param, str(index))) for index, value in enumerate(values)]


def merged(metadata: dict[str, str], params: dict[str, Any]) -> dict[str, str]:
    """Metadata after a call: names are added and replaced, an empty text removes its name, unsetting removes all."""
    if "metadata" not in params:
        return metadata
    if params["metadata"] is None:
        return {}
    both = {**metadata, **params["metadata"]}
    return {name: value for name, value in both.items() if value != ""}


def _metadata(raw: Any, param: str) -> dict[str, str]:
    """Names to texts; an empty text removes the name (Stripe's rule). At most 50 names of 40 characters."""
    words = _hash(raw, param)
    for name, value in words.items():
        if not isinstance(value, str) or len(name) > 40 or len(value) > 500:
            raise errors.invalid(f"Invalid metadata: {_path(param, name)}", param=_path(param, name))
    if len(words) > 50:
        raise errors.invalid("Metadata can only have 50 keys", param=param)
    return words
