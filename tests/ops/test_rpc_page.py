"""`docs/rpc.md` names every door, and says of each that others may use what it answers."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from ops import processes, rpc_doors
from ops.documents import rpc

pytestmark = pytest.mark.pure

FOR_OTHERS = [door for door in rpc_doors.all_doors() if door.is_for_others]
SOURCES = "\n".join(path.read_text() for folder in ("services", "shared") for path in Path(folder).rglob("*.py"))


class TestThePage:
    def test_names_every_door_once(self):
        there = {
            f"{service}.{name}"
            for service in processes.SERVICES
            for name, method in inspect.getmembers(import_module(f"services.{service}.service").SERVICE)
            if hasattr(method, "nameko_entrypoints")
        }

        assert sorted(re.findall(r"^## `(.*)`$", rpc.render(), flags=re.MULTILINE)) == sorted(there)

    def test_shows_no_door_s_session(self):
        assert "session: Session" not in rpc.render()

    @pytest.mark.parametrize("door", FOR_OTHERS, ids=lambda door: door.name)
    def test_says_what_a_door_answers_and_how_it_refuses(self, door: rpc_doors.Door):
        described = rpc.describe(door.text)

        assert described.answer
        codes = rpc.codes(described)
        assert [code for code in codes if f'"{code}"' not in SOURCES] == []
        assert {name for name in described.arguments if name not in {one.name for one in door.arguments}} == set()


class TestDescribe:
    def test_takes_a_docstring_apart(self):
        text = (
            "Do it,\nwell.\n\n:param a: one\n    thing\n:returns: `{}`\n:raises Conflict: `no_room`: none is left\n"
        )

        described = rpc.describe(text)

        assert described == rpc.Described(
            summary="Do it, well.",
            arguments={"a": "one thing"},
            answer="`{}`",
            refusals=[("Conflict", "`no_room`: none is left")],
        )
        assert rpc.codes(described) == ["no_room"]
