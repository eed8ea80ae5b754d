"""
The processes of docker-compose.yml with its commands and settings, on real servers, without an engine: only the names
of hosts are put in. Each is started by itself, as Compose would, and a new customer takes the first steps.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from sandbox import children, ports
from sandbox.postgres import PostgresServer
from tests.deployment import files, first_steps

pytestmark = pytest.mark.soak

START_SECONDS = 120
PROGRAMS = {"chatness": (sys.executable, "-m", "ops.cli"), "python": (sys.executable,)}


class Composed:
    """What Compose knows of each service; `places` are the names and ports that it would give, and ours."""

    def __init__(self, directory: Path, places: dict[str, str]) -> None:
        self.directory = directory
        self.places = places
        self.services = files.compose()["services"]

    def put(self, text: str) -> str:
        filled = files.filled_in(text, files.dotenv())
        for theirs, ours in self.places.items():
            filled = filled.replace(theirs, ours)
        return filled

    def command(self, name: str) -> list[str]:
        program, *words = [*self.services[name].get("entrypoint", ["chatness"]), *self.services[name]["command"]]
        return [*PROGRAMS[program], *map(self.put, words)]

    def environment(self, name: str, health_port: int) -> dict[str, str]:
        told = {key: self.put(str(value)) for key, value in self.services[name].get("environment", {}).items()}
        if "CHATNESS_HEALTH_PORT" in told:
            told["CHATNESS_HEALTH_PORT"] = str(health_port)
        if "CHATNESS_PORT" in told:
            told["CHATNESS_PORT"] = str(urlsplit(told["PUBLIC_URL"]).port)
        return {"PATH": os.environ["PATH"], "CHATNESS_RUN": str(self.directory), **told}

    def run(self, name: str) -> None:
        environment = self.environment(name, 0)
        done = subprocess.run(self.command(name), env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self, name: str, ended: ExitStack) -> Callable[[], bool]:
        """Gives what tells whether it is ready."""
        health_port = ports.free()
        with children.log(self.directory / f"{name}.log") as output:
            child = subprocess.Popen(
                self.command(name), env=self.environment(name, health_port), stdout=output, stderr=output
            )
        ended.callback(children.finish, child, signal.SIGTERM, grace_seconds=20)

        def is_ready() -> bool:
            assert child.poll() is None, f"{name}: {children.last_lines(self.directory / f'{name}.log')}"
            if self.services[name]["healthcheck"]["test"][-1].endswith("/readyz', timeout=4)"):
                return answers(f"http://127.0.0.1:{health_port}/readyz")
            return True

        return is_ready


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def composed(postgres: PostgresServer, new_vhost: Callable[[], str], tmp_path: Path) -> Composed:
    broker = urlsplit(new_vhost())
    password = files.dotenv()["RABBITMQ_PASSWORD"]
    gateway, stripe, mail = (str(ports.free()) for _ in range(3))
    return Composed(
        tmp_path,
        {
            "@postgres:5432": f"@127.0.0.1:{postgres.port}",
            f"{password}@rabbitmq:5672/%2F": f"{broker.password}@127.0.0.1:{broker.port}{broker.path}",
            "/var/lib/chatness": str(tmp_path),
            "/catalogue.toml": str(files.ROOT / files.compose()["configs"]["catalogue"]["file"]),
            **{f"{host}:8000": f"127.0.0.1:{gateway}" for host in ("gateway", "localhost")},
            **{f"{host}:12111": f"127.0.0.1:{stripe}" for host in ("stripe", "localhost")},
            **{"--port=12111": f"--port={stripe}", "mail:2525": f"127.0.0.1:{mail}", "--port=2525": f"--port={mail}"},
        },
    )


def test_the_first_steps_work_in_what_compose_starts(composed: Composed, postgres: PostgresServer) -> None:
    url = composed.put(files.dotenv()["PUBLIC_URL"])
    script = ["psql", "--no-psqlrc", "--quiet", "-f", files.ROOT / "deploy" / "databases.sql"]
    server = postgres.admin_url.replace("+psycopg2", "")
    subprocess.run([*script, server], env={**os.environ, **files.dotenv()}, check=True)
    composed.run("migrate")
    with ExitStack() as ended:
        once = {"migrate", "chatness"}
        ours = {name for name, one in composed.services.items() if "build" in one}
        checks = [composed.start(name, ended) for name in sorted(ours - once)]
        assert children.wait_until(lambda: all(check() for check in checks), timeout_seconds=START_SECONDS)

        first_steps.take(url, ("env", f"CHATNESS_RUN={composed.directory}", *PROGRAMS["chatness"], "mail", "--json"))
        composed.run("chatness")
