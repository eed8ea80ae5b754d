"""Nothing in a file that a spreadsheet would carry out."""

import csv
import io
from typing import Any

import pytest

from shared import spreadsheets

pytestmark = pytest.mark.pure

COLUMNS = ("name", "change", "plan")


def row_of(**values: Any) -> list[str]:
    (row,) = csv.reader(io.StringIO(spreadsheets.lines(COLUMNS, [{**dict.fromkeys(COLUMNS), **values}])))
    return row


class TestLines:
    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
    def test_hold_no_formulas(self, text: str) -> None:
        assert row_of(name=text)[0] == f"'{text}"

    def test_hold_numbers_as_numbers_and_nothing_as_nothing(self) -> None:
        assert row_of(change=-5) == ["", "-5", ""]


class TestHeading:
    def test_is_the_columns(self) -> None:
        assert spreadsheets.heading(COLUMNS) == "name,change,plan\r\n"
