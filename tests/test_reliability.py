"""docs/reliability.md names a test for every case, or says why there is none; and each test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()
CASES = [*range(1, 95)]
ROW = re.compile(r"^\| (\d+)[a-z]? \|(.*)\|$", re.MULTILINE)
NAMED = re.compile(r"`((?:[\w]+/)*test_\w+\.py(?:::\w+)*)`")


@cache
def names_in(path: str) -> set[str]:
    """`Class`, `Class::test` and `test` for all that the module holds."""
    found = set()
    for node in ast.parse((TESTS / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            found |= {node.name, *(f"{node.name}::{inner.name}" for inner in node.body if is_test(inner))}
        elif is_test(node):
            found.add(node.name)
    return found


def is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def exists(name: str) -> bool:
    path, _, within = name.partition("::")
    return (TESTS / path).is_file() and (not within or within in names_in(path))


class TestThePage:
    def test_has_every_case(self):
        assert sorted({int(number) for number, _rest in ROW.findall(PAGE)}) == CASES

    def test_names_a_test_for_each_or_says_why_there_is_none(self):
        bare = [
            number
            for number, rest in ROW.findall(PAGE)
            if not (NAMED.search(rest) or "Cannot occur" in rest or "Not yet" in rest)
        ]

        assert bare == []

    def test_names_only_tests_that_exist(self):
        assert [name for name in NAMED.findall(PAGE) if not exists(name)] == []

    def test_writes_names_as_this_test_reads_them(self):
        assert len(NAMED.findall(PAGE)) == PAGE.count(".py") > 50
        assert not exists("shared/test_inbox.py::TestTake::test_of_nobody")
        assert not exists("shared/test_of_nobody.py")
