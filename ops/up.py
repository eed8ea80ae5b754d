"""`chatness up`: the stack, supervised, in one log, until Ctrl-C. Says READY when a sign-in and a usage work."""

import os
import signal
import sys
import time
from contextlib import contextmanager
from typing import Any

import requests

from ops import client, processes, stack
from sandbox import binaries, children
from sandbox import processes as sandbox_processes
from sandbox.home import Unusable
from shared import config

READY_SECONDS = 60
LOOK_SECONDS = 0.3
LOGIN = {
    "name": "Demo Owner",
    "email": "demo@chatness.example",
    "password": "a demo for everybody",
    "org_name": "Demo",
}


def run() -> int:
    """Gives the exit code: 0 after Ctrl-C, 78 where a setting or a program is missing, 1 if it never got ready."""
    directory = stack.run_directory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until the supervisor takes the signals
    try:
        with stack.servers(directory) as standing:
            return _run(sandbox_processes.Supervisor(directory), standing)
    except KeyboardInterrupt:
        return 0
    except (binaries.Missing, children.Died, Unusable, config.BadConfiguration) as error:
        config.give_up(str(error))


def _run(supervisor: sandbox_processes.Supervisor, standing: stack.Stack) -> int:
    with _environment(standing.environment):
        processes.migrate_all(processes.SERVICES)
    for name, command in standing.commands.items():
        supervisor.start(name, command, env=standing.environment)
    ready = _Readiness(standing)
    if supervisor.wait_until(ready.check, timeout_seconds=READY_SECONDS):
        _say_ready(standing)
    elif not supervisor.is_stopping:
        supervisor.stop()
        print(f"chatness: no {ready.waits_for} after {READY_SECONDS} s", file=sys.stderr)  # noqa: T201
        return 1
    return supervisor.run()


class _Readiness:
    """Ready is what a person would call so: the demo login signs in, and its month's usage can be read."""

    def __init__(self, standing: stack.Stack) -> None:
        self.standing = standing
        self.api = client.Api(standing.url)
        self.waits_for = "the gateway"
        self.registered = False
        self.next_look = 0.0

    def check(self) -> bool:
        """Asked many times a second, it looks a few times: whoever starts up has better things to do."""
        if time.monotonic() < self.next_look:
            return False
        try:
            return self._look()
        except requests.RequestException:
            return False
        finally:
            self.next_look = time.monotonic() + LOOK_SECONDS

    def _look(self) -> bool:
        self.waits_for = "a sign-in"
        answer = self.api.ask("POST", "/v1/sessions", {key: LOGIN[key] for key in ("email", "password")})
        if answer.status_code == 201:
            self.waits_for = "the month's usage"
            return self.api.with_token(answer.json()["token"]).ask("GET", "/v1/usage").status_code == 200
        if answer.status_code in (401, 403):
            self._sign_up()
        return False

    def _sign_up(self) -> None:
        """Once: register, and then follow the link of the mail when it has come."""
        self.waits_for = "the demo account"
        if not self.registered:
            self.registered = self.api.ask("POST", "/v1/accounts", LOGIN).status_code == 202
        token = client.mailed_token(self.standing.mail_folder, to=LOGIN["email"])
        if token:
            self.api.ask("POST", "/v1/email-confirmations", {"token": token})


def _say_ready(standing: stack.Stack) -> None:
    login = f"{LOGIN['email']} / {LOGIN['password']}"
    print(f"READY {standing.url}   sign in as {login}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _environment(values: dict[str, str]) -> Any:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
