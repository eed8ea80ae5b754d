"""Which values a door takes for the types it declares."""

from typing import Any

import pytest

from shared import errors
from shared.rpc.arguments import Arguments, PageSize

pytestmark = pytest.mark.pure


def door(
    self: Any,
    text: str,
    whole: int = 0,
    size: PageSize = 50,
    *,
    maybe: str | None = None,
    many: list[dict[str, Any]] | None = None,
) -> None: ...


def read(*args: Any, **kwargs: Any) -> Any:
    return Arguments("door", door).read({"args": list(args), "kwargs": kwargs})


class TestRead:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"text": ""},
            {"text": "é\u20ac\U0001f600", "whole": -(2**63) + 1},
            {"text": "a", "maybe": None, "many": []},
            {"text": "a", "maybe": "b", "many": [{"anything": "\0"}]},
        ],
    )
    def test_takes_what_fits(self, arguments: dict[str, Any]):
        assert read(**arguments) == arguments

    def test_names_arguments_that_came_by_position(self):
        assert read("a", 1, maybe="b") == {"text": "a", "whole": 1, "maybe": "b"}

    @pytest.mark.parametrize(
        "arguments, which",
        [
            ({"text": None}, "text is not str"),
            ({"text": "a\0b"}, "text is not str"),
            ({"text": "half a pair: \ud83d"}, "text is not str"),
            ({"text": "a", "whole": True}, "whole is not int"),
            ({"text": "a", "whole": 1.0}, "whole is not int"),
            ({"text": "a", "whole": 2**63}, "whole is not int"),
            ({"text": "a", "size": 0}, "size is not int from 1 to 1000"),
            ({"text": "a", "size": 1001}, "size is not int from 1 to 1000"),
            ({"text": "a", "maybe": 1}, "maybe is not str | None"),
            ({"text": "a", "many": {}}, "many is not list[dict[str, Any]] | None"),
            ({"text": "a", "many": [1]}, "many is not list[dict[str, Any]] | None"),
            ({}, "missing a required argument: 'text'"),
            ({"text": "a", "other": 1}, "got an unexpected keyword argument 'other'"),
        ],
    )
    def test_refuses_what_does_not_and_says_which(self, arguments: dict[str, Any], which: str):
        with pytest.raises(errors.Invalid) as refused:
            read(**arguments)

        assert (refused.value.code, refused.value.message) == ("invalid_arguments", f"door: {which}")
