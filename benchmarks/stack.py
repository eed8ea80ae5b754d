"""A whole stack for a benchmark, as `make run` starts it, and an org with room for a hundred thousand messages."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks import servers
from ops import client, stack

CARD = "4242424242424242"
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Standing:
    """:param environment: the settings of all processes, databases included"""

    environment: dict[str, str]
    directory: Path

    @property
    def port(self) -> int:
        return int(self.environment["CHATNESS_PORT"])

    def owner(self, plan: str) -> client.Api:
        """A new org's owner, signed in, on this plan."""
        api = client.Api(self.environment["PUBLIC_URL"])
        address, password = f"{secrets.token_hex(6)}@example.com", secrets.token_hex(10)
        _must(api.ask("POST", "/v1/accounts", {"name": "Bench", "email": address, "password": password}), 202)
        token = until(lambda: client.mailed_token(self.directory / "mail", to=address))
        _must(api.ask("POST", "/v1/email-confirmations", {"token": token}), 200)
        signed_in = _must(api.ask("POST", "/v1/sessions", {"email": address, "password": password}), 201)
        api = api.with_token(signed_in["token"])
        until(lambda: api.ask("GET", "/v1/usage").status_code == 200)
        checkout = _must(api.ask("PUT", "/v1/subscription", {"plan": plan}), 202)
        requests.post(checkout["checkout_url"], data={"number": CARD}, allow_redirects=False, timeout=15)
        until(lambda: api.ask("GET", "/v1/subscription").json()["plan"] == plan)
        until(lambda: api.ask("GET", "/v1/usage").json()["limit"] > 200)
        return api


@contextmanager
def running(**settings: str) -> Iterator[Standing]:
    """A stack of its own, in a folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="chatness-benchmark-") as folder:
        directory = Path(folder) / "run"
        environment = {
            **os.environ,
            "CHATNESS_RUN": str(directory),
            "CHATNESS_PORT": str(servers.free_port()),
            "CHATNESS_LOG_LEVEL": "WARNING",
            **settings,
        }
        command = [sys.executable, "-m", "ops.cli", "up"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            _await_ready(process)
            yield Standing(stack.saved_environment(directory), directory)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            subprocess.run([sys.executable, "-m", "sandbox.clean", str(directory)], check=False)


def until(found: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS, rest_seconds: float = 0.02) -> Any:
    """What it finds, as soon as it finds something. :raises TimeoutError:"""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(rest_seconds)
    return result


def _await_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    log: list[str] = []
    for line in process.stderr:
        log.append(line)
        if line.startswith("READY"):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return
    raise RuntimeError("".join(log[-20:]))


def _must(answer: requests.Response, status: int) -> Any:
    if answer.status_code != status:
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    return answer.json()
