# ruff: noqa: S603 - this module starts programs
"""
Processes that we start, and those that a former run left behind: known by pid and start time together, since
the kernel gives a pid again. Standard library only: `make clean` runs it without the virtual environment.
"""

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")
LOG_BYTES = 10_000_000


class Died(Exception):
    """A program ended while it should have started; the text is the end of what it printed."""


class NotReady(Died):
    """A program runs, and was not ready in time: another one beside it would only get in its way."""


@dataclass(frozen=True)
class Process:
    pid: int
    started: str

    @property
    def lives(self) -> bool:
        """Whether it still runs. One that has ended and waits for its parent to notice does not."""
        return find(self.pid) == self


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    directory: Path,
    output: int,
    death_signal: signal.Signals = signal.SIGKILL,
    account: pwd.struct_passwd | None = None,
) -> subprocess.Popen[bytes]:
    """
    Start a program in a session of its own, so that Ctrl-C does not reach it. It gets the death signal when this
    *thread* ends, so call it from one that lives as long as the child should.

    :param output: file descriptor for both its outputs
    :param account: whom it runs as; only root may choose
    """
    user, group = (account.pw_uid, account.pw_gid) if account else (os.geteuid(), os.getegid())
    leash = [sys.executable, "-I", "-S", LEASH, os.getpid(), int(death_signal), user, group]
    return subprocess.Popen(
        [str(word) for word in (*leash, *command)],
        env=dict(env),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@contextlib.contextmanager
def log(path: Path) -> Iterator[int]:
    """A file descriptor that appends to a log. One that has grown too long becomes the `.old` one first."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.old"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def await_start(
    child: subprocess.Popen[bytes], ready: Callable[[], bool], *, log: Path, timeout_seconds: float = 60
) -> None:
    """
    Wait until a server is ready.

    :raises Died: if it ended, with the end of its log
    :raises NotReady: if it was not ready in time, likewise
    """
    if not wait_until(lambda: child.poll() is not None or ready(), timeout_seconds=timeout_seconds):
        raise NotReady(f"not ready after {timeout_seconds:.0f} s: {last_lines(log)}")
    if child.returncode is not None:
        raise Died(last_lines(log))


def environment(**variables: str) -> dict[str, str]:
    """For a server: nothing of ours that could lead it to another one's files or ports."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC", **variables}


def last_lines(path: Path, count: int = 10) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(process: Process, how: signal.Signals, *, grace_seconds: float) -> None:
    """Signal a process and wait until it and all its descendants are gone; past the grace, kill them."""
    family = [process, *descendants(process.pid)]
    send(process, how)
    wait_until(lambda: not process.lives, timeout_seconds=grace_seconds)
    send(process, signal.SIGKILL)
    if not wait_until(lambda: not any(member.lives for member in family), timeout_seconds=2):
        for member in family:
            send(member, signal.SIGKILL)
        wait_until(lambda: not any(member.lives for member in family), timeout_seconds=2)


def finish(child: subprocess.Popen[bytes], how: signal.Signals, *, grace_seconds: float) -> None:
    """`end` a process that this one started."""
    process = find(child.pid)
    if process is not None:
        end(process, how, grace_seconds=grace_seconds)
    child.wait()


def send(process: Process, how: signal.Signals) -> None:
    if process.lives:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, how)


def remember(path: Path, pid: int) -> None:
    """Write a pid file that `recall` understands."""
    process = find(pid)
    if process is not None:
        path.write_text(f"{process.pid}\n{process.started}\n")


def recall(path: Path) -> Process | None:
    """The process of a pid file, if that very process still runs."""
    try:
        pid, started = path.read_text().splitlines()
        process = Process(int(pid), started)
    except (FileNotFoundError, ValueError):
        return None
    return process if process.lives else None


def find(pid: int) -> Process | None:
    """The running process of that pid."""
    entry = _table([pid]).get(pid)
    return entry[1] if entry else None


def descendants(pid: int) -> list[Process]:
    """The running children of a process, and theirs."""
    table = _table()
    family = [pid]
    for member in family:
        family += [child for child, (parent, _) in table.items() if parent == member]
    return [table[member][1] for member in family[1:]]


def _table(pids: Sequence[int] = ()) -> dict[int, tuple[int, Process]]:
    """Running processes (all, or the given) by pid: the parent's pid and the process."""
    rows = _rows_of_proc(pids) if sys.platform == "linux" else _rows_of_ps(pids)
    return {pid: (parent, Process(pid, started)) for pid, parent, state, started in rows if state[0] not in "ZX"}


def _rows_of_proc(pids: Sequence[int]) -> list[tuple[int, int, str, str]]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    rows = []
    for pid in pids or [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The program's name, in parentheses, may hold spaces and parentheses.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            rows.append((pid, int(fields[1]), fields[0], f"{fields[19]} {boot}"))
    return rows


def _rows_of_ps(pids: Sequence[int]) -> list[tuple[int, int, str, str]]:
    chosen = ["-p", ",".join(map(str, pids))] if pids else ["-A"]
    ps = ["ps", *chosen, "-o", "pid=,ppid=,stat=,lstart="]
    lines = subprocess.run(ps, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    rows = [line.split(maxsplit=3) for line in lines.stdout.splitlines()]
    return [(int(pid), int(parent), state, started.strip()) for pid, parent, state, started in rows]
