"""docs/configuration.md also has what is read past the settings classes."""

import re

import pytest

from ops.documents import ROOT, configuration

pytestmark = pytest.mark.pure

READ = re.compile(r"""environ(?:\.get\(|\[)["']([A-Z_]+)["']""")
SOURCES = [
    *(path for folder in ("ops", "sandbox", "services", "shared") for path in (ROOT / folder).rglob("*.py")),
    ROOT / "tests" / "infrastructure.py",
]


def test_every_variable_of_ours_is_on_the_page():
    read = {name for path in SOURCES for name in READ.findall(path.read_text()) if name.startswith("CHATNESS_")}
    page = configuration.render()

    assert read >= set(configuration.ELSEWHERE)
    assert {name for name in read if f"| `{name}` |" not in page} == set()
