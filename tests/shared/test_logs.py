"""What a log says of a failure, and what it keeps to itself; in processes of their own, since logging is global."""

import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text

from tests.shared import kernel_programs

PROGRAM = """
import sys
from sqlalchemy import create_engine, text
from shared import logs

logs.configure("test", as_text=sys.argv[2] == "text")
try:
    with create_engine(sys.argv[1], hide_parameters=True).begin() as connection:
        connection.execute(text("INSERT INTO people VALUES (:name, NULL)"), {"name": "CANARY\\nCANARY: of two lines"})
except Exception:
    logs.logger("test").exception("handler failed")
"""


class TestAFailureOfPostgreSQL:
    @pytest.mark.parametrize("form", ["json", "text"])
    def test_is_logged_with_its_reason_and_without_the_row(self, database_url: str, form: str) -> None:
        with create_engine(database_url).begin() as connection:
            connection.execute(text("CREATE TABLE people (name text, age integer NOT NULL)"))

        command = [sys.executable, "-c", PROGRAM, database_url, form]
        said = subprocess.run(command, cwd=kernel_programs.ROOT, capture_output=True, text=True, check=True).stderr

        assert "SQLSTATE 23502, table people, column age" in said
        assert "line 9, in <module>" in said
        assert "CANARY" not in said
