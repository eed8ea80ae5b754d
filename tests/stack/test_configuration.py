"""Bad configuration ends a process with one clear line and code 78, and never shows a secret."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from sqlalchemy import make_url

from sandbox import ports
from sandbox.postgres import PostgresServer
from tests.stack.stacks import CHATNESS, Process, Running, eventually, run

BAD_CONFIGURATION = 78
CANARY = "canary-0b5e1f2c"


def assert_refused(ended: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """One line on stderr that has these words, the last one, if the process had logged already."""
    assert ended.returncode == BAD_CONFIGURATION, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert CANARY not in ended.stderr
    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, ended.stderr
    assert said[0].startswith("chatness: ")
    assert [word for word in words if word not in said[0]] == []


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports.free()))
        listener.listen()
        yield str(listener.getsockname()[1])


class TestSettings:
    @pytest.mark.parametrize(
        "command, changed, missing, invalid",
        [
            (
                "serve accounts",
                {"ACCOUNTS_DATABASE_URL": f"mysql://accounts:{CANARY}@127.0.0.1/accounts", "SMTP_URL": ""},
                ["SMTP_URL"],
                ["ACCOUNTS_DATABASE_URL"],
            ),
            (
                "serve billing",
                {"STRIPE_API_KEY": "", "STRIPE_WEBHOOK_SECRETS": CANARY, "BILLING_CATALOGUE": "/nowhere.toml"},
                ["STRIPE_API_KEY"],
                ["STRIPE_WEBHOOK_SECRETS", "BILLING_CATALOGUE"],
            ),
            ("serve secrets quota", {"SECRETS_PEPPER": CANARY}, [], ["SECRETS_PEPPER"]),
            (
                "serve gateway",
                {"CURSOR_KEY": CANARY, "CHATNESS_PORT": "99999", "PUBLIC_URL": ""},
                ["PUBLIC_URL"],
                ["CURSOR_KEY", "CHATNESS_PORT"],
            ),
            (
                "worker quota",
                {"AMQP_URI": f"http://guest:{CANARY}@127.0.0.1", "CHATNESS_KEY": "", "CHATNESS_LOG_LEVEL": "LOUD"},
                ["CHATNESS_KEY"],
                ["AMQP_URI", "CHATNESS_LOG_LEVEL"],
            ),
            ("migrate quota", {"QUOTA_DATABASE_URL": ""}, ["QUOTA_DATABASE_URL"], []),
            (
                "migrate billing",
                {"BILLING_DATABASE_URL": f"postgresql://billing:{CANARY}@127.0.0.1/billing"},
                [],
                ["BILLING_DATABASE_URL"],
            ),
        ],
    )
    def test_that_are_missing_or_invalid_are_all_named(
        self, stack: Running, command: str, changed: dict[str, str], missing: list[str], invalid: list[str]
    ) -> None:
        ended = run(*command.split(), **{**stack.environment, **changed})

        assert_refused(
            ended, *(f"{name} is not set" for name in missing), *(f"{name} is not valid" for name in invalid)
        )

    def test_in_a_file_that_cannot_be_read_are_named(self, stack: Running) -> None:
        assert_refused(run("migrate", "quota", **stack.environment, QUOTA_DATABASE_URL_FILE="/nowhere"), "_URL_FILE")


class TestATestClock:
    @pytest.mark.parametrize("command", ["serve gateway", "worker quota"])
    def test_is_refused_outside_the_sandbox(self, stack: Running, command: str) -> None:
        outside = {**stack.environment, "CHATNESS_SANDBOX": "0"}

        assert_refused(run(*command.split(), **outside), "CHATNESS_CLOCK_FILE", "sandbox only")


class TestAPortThatIsTaken:
    def test_ends_the_gateway(self, stack: Running, taken_port: str) -> None:
        environment = {**stack.environment, "CHATNESS_PORT": taken_port}

        assert_refused(run("serve", "gateway", **environment), "CHATNESS_PORT", taken_port)

    @pytest.mark.parametrize("command", ["serve quota", "worker quota"])
    def test_for_the_health_page_ends_the_process(self, stack: Running, taken_port: str, command: str) -> None:
        environment = {**stack.environment, "CHATNESS_HEALTH_PORT": taken_port}

        assert_refused(run(*command.split(), **environment), "CHATNESS_HEALTH_PORT", taken_port)


class TestABrokerThatRefusesUs:
    @pytest.mark.parametrize("command", ["serve quota", "serve gateway", "worker quota"])
    def test_ends_the_process(self, stack: Running, command: str) -> None:
        uri = f"amqp://chatness:{CANARY}@{stack.environment['AMQP_URI'].partition('@')[2]}"

        assert_refused(run(*command.split(), **{**stack.environment, "AMQP_URI": uri}), "RabbitMQ refuses")


class TestUp:
    def test_refuses_a_port_that_is_taken(self, tmp_path: Path, taken_port: str) -> None:
        refused = run("up", CHATNESS_RUN=str(tmp_path), CHATNESS_PORT=taken_port)

        assert_refused(refused, "CHATNESS_PORT", taken_port)

    @pytest.mark.parametrize("port", ["eighty", "99999"])
    def test_refuses_what_is_no_port(self, tmp_path: Path, port: str) -> None:
        assert_refused(run("up", CHATNESS_RUN=str(tmp_path), CHATNESS_PORT=port), "CHATNESS_PORT is not valid")

    def test_says_what_to_install(self, tmp_path: Path) -> None:
        nowhere = {"PATH": str(tmp_path), "CHATNESS_BACKEND": "local"}

        assert_refused(run("up", CHATNESS_RUN=str(tmp_path), **nowhere), "RabbitMQ not found", "rabbitmq-server")

    def test_refuses_a_backend_that_it_does_not_know(self, tmp_path: Path) -> None:
        refused = run("up", CHATNESS_RUN=str(tmp_path), CHATNESS_BACKEND="podman")

        assert_refused(refused, "CHATNESS_BACKEND", "local or docker")

    def test_refuses_a_run_directory_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "run").touch()

        assert_refused(run("up", CHATNESS_RUN=str(tmp_path / "run")), "CHATNESS_RUN")


class TestAPasswordThatPostgreSQLRefuses:
    @pytest.fixture
    def wrong(self, stack: Running) -> dict[str, str]:
        url = make_url(stack.environment["QUOTA_DATABASE_URL"]).set(password=CANARY)
        return {**stack.environment, "QUOTA_DATABASE_URL": url.render_as_string(hide_password=False)}

    def test_ends_a_migration(self, wrong: dict[str, str]) -> None:
        assert_refused(run("migrate", "quota", **wrong), "QUOTA_DATABASE_URL", "password authentication failed")

    def test_does_not_end_a_service_which_is_ready_when_it_is_set_right(
        self, stack: Running, wrong: dict[str, str], postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """A password can be changed on both sides only one after the other."""
        name = make_url(wrong["QUOTA_DATABASE_URL"]).database
        health_port = ports.free()
        right = make_url(stack.environment["QUOTA_DATABASE_URL"]).password
        environment = {**wrong, "CHATNESS_HEALTH_PORT": str(health_port)}
        service = Process("quota 3", (*CHATNESS, "serve", "quota"), environment, tmp_path / "log", health_port)
        service.start()
        try:
            eventually(lambda: readiness(health_port) == parts(is_there=False), "it did not start")
            with postgres.administer() as cursor:
                cursor.execute(f"ALTER ROLE {name} PASSWORD '{CANARY}'")
            try:
                eventually(lambda: readiness(health_port) == parts(is_there=True), "no recovery")
            finally:
                with postgres.administer() as cursor:
                    cursor.execute(f"ALTER ROLE {name} PASSWORD '{right}'")
        finally:
            service.stop()
        assert CANARY not in service.log.read_text()


def parts(*, is_there: bool) -> dict[str, bool]:
    """What /readyz says while only the database may be away."""
    return {"running": True, "rpc": True, "database quota": is_there, "migrations quota": is_there}


def readiness(port: int) -> dict[str, bool]:
    try:
        return dict(requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).json())
    except requests.ConnectionError:
        return {}
