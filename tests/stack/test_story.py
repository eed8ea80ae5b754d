"""What somebody sees who has just cloned this: `chatness up`, `chatness demo`, Ctrl-C."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import client
from sandbox import children
from tests.stack.stacks import CHATNESS, eventually, run, temporary_directory

pytestmark = pytest.mark.timeout(180)

START_SECONDS = 60
STOP_SECONDS = 10


@pytest.fixture(scope="module")
def run_directory() -> Iterator[Path]:
    """One for the module: the second start finds the data of the first."""
    with temporary_directory() as directory:
        yield directory


class Up:
    """`chatness up`, as in a terminal of its own."""

    def __init__(self, directory: Path, shown: Path) -> None:
        self.shown = shown
        with shown.open("wb") as output:
            self.process = subprocess.Popen(
                [*CHATNESS, "up"],
                env={**os.environ, "CHATNESS_RUN": str(directory), "NO_COLOR": "1"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def await_ready(self) -> re.Match[str]:
        """The line that says where, and with which login."""
        line = eventually(
            lambda: re.search(r"^READY (\S+) +sign in as (\S+) / (.+)$", self.shown.read_text(), re.MULTILINE),
            "it is not ready",
            seconds=START_SECONDS,
        )
        assert line is not None
        return line

    def press_ctrl_c(self) -> int:
        """To everything in that terminal, as a terminal does; gives the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


def left_running(directory: Path) -> list[Path]:
    """The pid files of what still runs, of the stack's processes and of its servers."""
    return [path for path in (*directory.glob("*.pid"), *directory.glob("*/*.pid")) if children.recall(path)]


class TestDemo:
    def test_meets_every_expectation_and_leaves_nothing_running(self, run_directory: Path) -> None:
        played = run("demo", CHATNESS_RUN=str(run_directory))

        assert played.returncode == 0, played.stderr
        assert re.search(r"every expectation met: \d\d", played.stderr)
        assert "✗" not in played.stderr
        assert left_running(run_directory) == []


class TestUp:
    def test_says_where_it_is_lets_its_login_in_and_stops_everything_at_ctrl_c(
        self, run_directory: Path, tmp_path: Path
    ) -> None:
        up = Up(run_directory, tmp_path / "shown")
        try:
            url, email, password = up.await_ready().groups()
            session = client.Api(url).ask("POST", "/v1/sessions", {"email": email, "password": password})
            assert session.status_code == 201
            family = children.descendants(up.process.pid)

            code = up.press_ctrl_c()
        finally:
            up.process.kill()

        assert code == 0, up.shown.read_text()
        assert len(family) > 7  # five processes and two servers at least
        assert [member for member in family if member.lives] == []

    def test_interrupted_while_it_starts_stops_everything_too(self, run_directory: Path, tmp_path: Path) -> None:
        up = Up(run_directory, tmp_path / "shown")
        try:
            eventually(lambda: children.descendants(up.process.pid), "it has not started a server")

            code = up.press_ctrl_c()
        finally:
            up.process.kill()

        assert code == 0, up.shown.read_text()
        assert left_running(run_directory) == []
