"""
The processes of a stack: started, shown as one log, restarted when they die, stopped together.

One thread, which sleeps until a child prints or dies, a signal comes, or a restart is due.
"""

import contextlib
import logging
import logging.handlers
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import rich.console
import rich.text

from sandbox import children

BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h: started again, it would end the same way
STOP_SECONDS = 10.0
RESTART_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)
STEADY_SECONDS = 60.0  # a process that ran this long starts again after the first pause
LOG_BYTES = 5_000_000
LINE_BYTES = 64 * 1024
STYLES = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")


class Supervisor:
    """
    Use it from the main thread: it takes the signals, and the kernel ends the children with the thread that
    started them.

    :param directory: gets `logs/NAME.log` and `NAME.pid` of each process, and `supervisor.pid`
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: dict[str, Child] = {}
        self._console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
        self._selector = selectors.DefaultSelector()
        self._bell = _Bell(self._selector)
        self._stop_requests = 0
        self._exit_code = 0
        (directory / "logs").mkdir(parents=True, exist_ok=True)
        children.remember(directory / "supervisor.pid", os.getpid())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup does
                signal.signal(number, self._request_stop)

    @property
    def pids(self) -> dict[str, int]:
        """The running processes, in the order of their start."""
        return {name: child.process.pid for name, child in self._children.items() if child.process}

    @property
    def is_stopping(self) -> bool:
        return self._stop_requests > 0

    def start(self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str]) -> None:
        """Start a process, and keep it running until `stop`."""
        style = STYLES[len(self._children) % len(STYLES)]
        child = Child(name, command, env=env, directory=self._directory, style=style)
        self._children[name] = child
        child.launch(self._selector)

    def wait_until(self, condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Look after the processes until the condition is true. False if it never was, or `stop` is asked for."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if self.is_stopping or time.monotonic() > deadline:
                return False
            self._look_after(timeout_seconds=0.1)
        return True

    def run(self) -> int:
        """Look after the processes until SIGINT, SIGTERM or SIGHUP, then stop them. The exit code: 0 or 78."""
        while not self.is_stopping:
            self._look_after(timeout_seconds=self._until_next_restart())
        self.stop()
        return self._exit_code

    def stop(self) -> None:
        """
        Stop all, the last started first, in 10 s at most. Each has a share of that before the next one is told,
        so that what serves others goes after them; who is still there at the end is killed. A second Ctrl-C
        kills at once.
        """
        self._stop_requests = max(self._stop_requests, 1)
        everybody = list(self._children.values())
        deadline = time.monotonic() + STOP_SECONDS
        share = STOP_SECONDS / (len(everybody) + 1)
        for child in reversed(everybody):
            child.send(signal.SIGTERM)
            self._await_end([child], deadline=min(deadline, time.monotonic() + share))
        self._await_end(everybody, deadline=deadline)
        for child in everybody:
            child.kill()
        self._look_after(timeout_seconds=0)
        (self._directory / "supervisor.pid").unlink(missing_ok=True)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _look_after(self, *, timeout_seconds: float | None) -> None:
        for key, _ in self._selector.select(timeout_seconds):
            if isinstance(key.data, Child):
                self._show(key.data, key.data.read_lines())
            else:
                self._bell.silence()
        for child in self._children.values():
            if child.process and child.process.poll() is not None:
                self._on_end(child, child.process.returncode)
            elif child.is_due and not self.is_stopping:
                child.launch(self._selector)

    def _until_next_restart(self) -> float | None:
        due = [child.restart_at for child in self._children.values() if child.restart_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _await_end(self, awaited: Iterable["Child"], *, deadline: float) -> None:
        while any(child.process for child in awaited) and self._stop_requests < 2:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                return
            self._look_after(timeout_seconds=left_seconds)

    def _on_end(self, child: "Child", code: int) -> None:
        self._show(child, child.read_lines())
        self._show(child, child.close())
        if self.is_stopping:
            return
        if code == BAD_CONFIGURATION:
            self._say(f"{child.name} cannot run: {child.last_line}")
            self._exit_code = BAD_CONFIGURATION
            self._stop_requests = 1
            return
        pause_seconds = child.plan_restart()
        self._say(f"{child.name} ended with {code}; it starts again in {pause_seconds:g} s")

    def _show(self, child: "Child", lines: Iterable[str]) -> None:
        for line in lines:
            self._console.print(rich.text.Text.assemble((f"{child.name:<10} ", child.style), line))

    def _say(self, text: str) -> None:
        self._console.print(rich.text.Text(text, style="bold red"))


class Child:
    """One process of the stack, over its restarts."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str], directory: Path, style: str
    ) -> None:
        self.name = name
        self.style = style
        self.process: subprocess.Popen[bytes] | None = None
        self.restart_at: float | None = None
        self.last_line = ""
        self._command = command
        self._env = env
        self._pid_file = directory / f"{name}.pid"
        self._log = logging.handlers.RotatingFileHandler(
            directory / "logs" / f"{name}.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"
        )
        self._selector: selectors.BaseSelector | None = None
        self._output: int | None = None
        self._unfinished = b""
        self._started_at = 0.0
        self._deaths = 0

    @property
    def is_due(self) -> bool:
        return self.restart_at is not None and time.monotonic() >= self.restart_at

    def launch(self, selector: selectors.BaseSelector) -> None:
        """Start the process. The selector says when there is something to read."""
        self.restart_at = None
        self._started_at = time.monotonic()
        self._output, writer = os.pipe()
        try:
            self.process = children.spawn(self._command, env=self._env, directory=Path.cwd(), output=writer)
        finally:
            os.close(writer)
        children.remember(self._pid_file, self.process.pid)
        os.set_blocking(self._output, False)
        self._selector = selector
        selector.register(self._output, selectors.EVENT_READ, self)

    def read_lines(self) -> list[str]:
        """The lines it has finished since."""
        with contextlib.suppress(BlockingIOError):
            while self._output is not None:
                chunk = os.read(self._output, LINE_BYTES)
                if not chunk:  # it closed its output, and may go on without
                    self._close_output()
                self._unfinished += chunk
        *lines, self._unfinished = self._unfinished.split(b"\n")
        if len(self._unfinished) > LINE_BYTES:
            lines, self._unfinished = [*lines, self._unfinished], b""
        return [self._record(line) for line in lines]

    def close(self) -> list[str]:
        """Forget the process, which has ended. The line it had not finished, if any."""
        self.process = None
        self._pid_file.unlink(missing_ok=True)
        self._close_output()
        self._log.close()
        line, self._unfinished = self._unfinished, b""
        return [self._record(line)] if line else []

    def plan_restart(self) -> float:
        """Set the time of the next start. The seconds until then, more after each death in a row."""
        ran_seconds = time.monotonic() - self._started_at
        self._deaths = 0 if ran_seconds > STEADY_SECONDS else self._deaths + 1
        pause_seconds = RESTART_SECONDS[min(max(self._deaths - 1, 0), len(RESTART_SECONDS) - 1)]
        self.restart_at = time.monotonic() + pause_seconds
        return pause_seconds

    def send(self, number: signal.Signals) -> None:
        self.restart_at = None
        if self.process:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and what it started: it leads a group of its own."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _record(self, line: bytes) -> str:
        text = line.decode(errors="replace").rstrip()
        self.last_line = text or self.last_line
        self._log.emit(logging.makeLogRecord({"msg": text}))
        return text

    def _close_output(self) -> None:
        if self._output is not None and self._selector is not None:
            self._selector.unregister(self._output)
            os.close(self._output)
            self._output = None


class _Bell:
    """Wakes the selector at any signal, also that of a child's end, which Python would handle only later."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._listener, self._button = socket.socketpair()
        for side in (self._listener, self._button):
            side.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._button.fileno(), warn_on_full_buffer=False)

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._listener.recv(1024):
                pass
