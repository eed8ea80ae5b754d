"""
A request's body, from bytes to a checked object. Stricter than `json.loads`: no duplicate keys, no NaN, no text that
a database or another language could not hold (NUL, lone surrogates).
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Never

import marshmallow

from services.gateway import problems


def load(raw: bytes) -> Any:
    """:raises Problem: 400 `malformed_json`"""
    try:
        value = _decoder.decode(raw.decode())
        if b"\\u" in raw:  # the only way in for both: UTF-8 has no surrogates, and JSON no bare control characters
            check_text(value)
    except UnicodeDecodeError as error:
        raise _malformed("it is not in UTF-8") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg}, at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def check_text(value: Any) -> None:
    """:raises Problem: 400 `malformed_text`, for NUL or a lone surrogate anywhere in this JSON value"""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            detail = "A text contains NUL or half of a surrogate pair."
            raise problems.Problem(status=400, code="malformed_text", detail=detail)
    elif isinstance(value, dict):
        for key, member in value.items():
            check_text(key)
            check_text(member)
    elif isinstance(value, list):
        for item in value:
            check_text(item)


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_number)


def _malformed(fault: str) -> problems.Problem:
    return problems.Problem(status=400, code="malformed_json", detail=f"The body is not acceptable JSON: {fault}.")


def invalid_body(error: marshmallow.ValidationError) -> problems.Problem:
    faults = [{"pointer": pointer, "detail": detail} for pointer, detail in _faults(error.messages, "")]
    return problems.invalid_fields(faults)


def invalid_query(error: marshmallow.ValidationError) -> problems.Problem:
    faults = [{"parameter": pointer[1:], "detail": detail} for pointer, detail in _faults(error.messages, "")]
    return problems.invalid_fields(faults)


def _faults(messages: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """marshmallow's nested messages, flat: JSON pointer (RFC 6901) and message."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            step = "" if key == "_schema" else "/" + str(key).replace("~", "~0").replace("/", "~1")
            yield from _faults(inner, pointer + step)
    else:
        for message in messages:
            yield pointer, message
