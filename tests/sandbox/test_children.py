import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import children

WAITS = "import signal; print('ready', flush=True); signal.pause()"
HAS_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"


def spawn(code: str, log: Path) -> subprocess.Popen[bytes]:
    """Start Python code, and wait until it says that it is ready."""
    with children.log(log) as output:
        child = children.spawn([sys.executable, "-c", code], env=os.environ, directory=log.parent, output=output)
    children.await_start(child, lambda: "ready" in log.read_text(), log=log, timeout_seconds=20)
    return child


class TestSpawn:
    def test_gives_the_child_a_session_of_its_own(self, tmp_path: Path):
        child = spawn(WAITS, tmp_path / "log")

        assert os.getsid(child.pid) == child.pid
        children.finish(child, signal.SIGTERM, grace_seconds=5)

    def test_leaves_in_the_log_which_program_is_not_there(self, tmp_path: Path):
        log = tmp_path / "log"
        with children.log(log) as output:
            child = children.spawn(["/no/such/program"], env={}, directory=tmp_path, output=output)

        with pytest.raises(children.Died, match="/no/such/program: No such file"):
            children.await_start(child, lambda: False, log=log)


class TestLog:
    def test_starts_anew_when_it_has_grown_too_long(self, tmp_path: Path):
        path = tmp_path / "log"
        path.write_bytes(b"x" * (children.LOG_BYTES + 1))

        with children.log(path) as output:
            os.write(output, b"new")

        assert path.read_text() == "new"
        assert (tmp_path / "log.old").stat().st_size == children.LOG_BYTES + 1


class TestEnd:
    def test_ends_what_the_process_has_started(self, tmp_path: Path):
        child = spawn(HAS_A_CHILD, tmp_path / "log")
        [grandchild] = children.descendants(child.pid)

        children.finish(child, signal.SIGKILL, grace_seconds=5)

        assert not grandchild.lives


class TestRecall:
    def test_finds_the_remembered_process_while_it_runs(self, tmp_path: Path):
        child = spawn(WAITS, tmp_path / "log")
        children.remember(tmp_path / "pid", child.pid)

        assert children.recall(tmp_path / "pid") == children.find(child.pid)

        children.finish(child, signal.SIGTERM, grace_seconds=5)
        assert children.recall(tmp_path / "pid") is None

    def test_does_not_take_another_process_of_that_pid_for_it(self, tmp_path: Path):
        (tmp_path / "pid").write_text(f"{os.getpid()}\nlong ago\n")

        assert children.recall(tmp_path / "pid") is None

    @pytest.mark.parametrize("text", ["", "12\n", "no number\nlong ago\n"])
    def test_knows_nobody_from_a_torn_file(self, tmp_path: Path, text: str):
        (tmp_path / "pid").write_text(text)

        assert children.recall(tmp_path / "pid") is None
