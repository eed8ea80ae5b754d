"""The generated pages of `docs/` are what the code says today."""

import pytest

from ops import documents

pytestmark = pytest.mark.pure


def test_no_generated_document_is_stale():
    stale = [path.name for path, text in documents.render_all().items() if path.read_text() != text]

    assert stale == [], "run `make docs`"
