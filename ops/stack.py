"""
The whole stack on one machine: what `chatness up` starts, in which order, with which settings.

Everything that is not given from outside (`…_DATABASE_URL`, `AMQP_URI`, `STRIPE_API_KEY`, `SMTP_URL`) is taken from
the sandbox, whose data stay in the run directory.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops import broker, processes
from sandbox import binaries, infrastructure, letters, ports
from sandbox.rabbitmq import RabbitmqServer
from shared import config

CHATNESS = (sys.executable, "-m", "ops.cli")
KEYS = ("CHATNESS_KEY", "CURSOR_KEY", "SECRETS_PEPPER", "STRIPE_WEBHOOK_SECRETS")
DEFAULT_PORT = 8000
BOT_RUNTIME = "bot-runtime"
BOT_RUNTIME_MAY_CALL = (
    "quota.admit_messages",
    "quota.get_message",
    "quota.refund_message",
    "quota.get_usage",
    "accounts.get_profile",
    "accounts.get_org_profile",
)
BOT_RUNTIME_MAY_HEAR = ("quota.BotsStopped", "quota.BotsRestarted")


def run_directory() -> Path:
    return Path(os.environ.get("CHATNESS_RUN", ".run")).absolute()


def saved_environment(directory: Path) -> dict[str, str]:
    """
    The settings of the stack that runs, or ran, in this directory.

    :raises BadConfiguration: if none ever did
    """
    if not has_run(directory):
        raise config.BadConfiguration(f"no stack has run in {directory}; start one with `make run`")
    saved: dict[str, str] = json.loads(_saved_in(directory).read_text())
    return saved


def has_run(directory: Path) -> bool:
    """Whether a stack runs, or ran, in this directory."""
    return _saved_in(directory).exists()


def _saved_in(directory: Path) -> Path:
    return directory / "environment.json"


@dataclass
class Stack:
    """
    :param environment: what every process is given; the command line finds it again in `environment.json`
    :param commands: the processes by name, in the order of their start
    """

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.environment["PUBLIC_URL"]

    @property
    def mail_folder(self) -> Path:
        return self.directory / "mail"

    @property
    def clock_file(self) -> Path:
        return self.directory / "clock.json"

    def save(self) -> None:
        path = _saved_in(self.directory)
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.environment, indent=1))


@contextmanager
def servers(directory: Path, *, port: int | None = None) -> Iterator[Stack]:
    """
    Start what the processes stand on, PostgreSQL and RabbitMQ, and work out everybody's settings.

    :param port: the gateway's; by default what CHATNESS_PORT says, else 8000 if it is free, else any
    :raises Missing: where the machine has neither the programs nor Docker
    :raises BadConfiguration: for a run directory or a port that cannot be used
    """
    _make(directory)
    stack = Stack(directory)
    given = {name: value for name, value in os.environ.items() if value}
    port = port or _gateway_port(given)
    with ExitStack() as open_servers:
        urls = _servers(open_servers, directory, given)
        stack.environment = {**given, **urls, **_keys(directory, given), **_places(stack, given, port)}
        _add_outside_world(stack, given)
        stack.commands |= {
            "services": (*CHATNESS, "serve", *processes.SERVICES),
            "worker": (*CHATNESS, "worker", *processes.SERVICES),
            "gateway": (*CHATNESS, "serve", "gateway"),
            "mailroom": (*CHATNESS, "mailroom"),
        }
        stack.save()
        yield stack


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise config.BadConfiguration(f"CHATNESS_RUN: no folder {directory}: {error.strerror}") from None


def _servers(open_servers: ExitStack, directory: Path, given: Mapping[str, str]) -> dict[str, str]:
    needed = [name for name in processes.SERVICES if f"{name.upper()}_DATABASE_URL" not in given]
    backend = binaries.ensure() if needed or "AMQP_URI" not in given else "local"
    urls = {}
    if needed:
        postgres = infrastructure.start_postgres(backend, directory / "postgres")
        open_servers.callback(postgres.stop)
        urls = {f"{name.upper()}_DATABASE_URL": postgres.create_database(name) for name in needed}
    if "AMQP_URI" not in given:
        rabbitmq = infrastructure.start_rabbitmq(backend, directory / "rabbitmq")
        open_servers.callback(rabbitmq.stop)
        urls["AMQP_URI"] = rabbitmq.uri
        urls["FOREIGN_AMQP_URI"] = add_bot_runtime(rabbitmq)
    return urls


def add_bot_runtime(rabbitmq: RabbitmqServer, *, vhost: str = "/") -> str:
    """The URI by which the sandbox's foreign caller signs in: the service that runs the bots."""
    account = broker.Account(name=BOT_RUNTIME, password=rabbitmq.password_of(BOT_RUNTIME), vhost=vhost)
    definitions = broker.of_foreign_caller(account, may_call=BOT_RUNTIME_MAY_CALL, may_hear=BOT_RUNTIME_MAY_HEAR)
    rabbitmq.import_definitions(broker.as_json(definitions))
    return rabbitmq.uri_of(vhost, user=BOT_RUNTIME)


def _keys(directory: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Random keys that stay the same from one run to the next."""
    path = directory / "keys.json"
    keys: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    for name in KEYS:
        keys.setdefault(name, ("whsec_" if "WEBHOOK" in name else "") + secrets.token_urlsafe(32))
    path.touch(mode=0o600)
    path.write_text(json.dumps(keys))
    return {name: given.get(name, value) for name, value in keys.items()}


def _places(stack: Stack, given: Mapping[str, str], port: int) -> dict[str, str]:
    return {
        "CHATNESS_SANDBOX": "1",
        "CHATNESS_SECRET_MODE": "test",
        "CHATNESS_CLOCK_FILE": str(stack.clock_file),
        "CHATNESS_LOG_FORMAT": given.get("CHATNESS_LOG_FORMAT", "text"),
        "CHATNESS_PORT": str(port),
        "PUBLIC_URL": given.get("PUBLIC_URL", f"http://127.0.0.1:{port}"),
    }


def _gateway_port(given: Mapping[str, str]) -> int:
    if "CHATNESS_PORT" not in given:
        return ports.free(wanted=DEFAULT_PORT)
    try:
        port = config.whole(1, 65535)(given["CHATNESS_PORT"])
    except ValueError as error:
        raise config.BadConfiguration(f"CHATNESS_PORT is not valid: {error}") from None
    if not ports.is_free(port):
        raise config.BadConfiguration(f"CHATNESS_PORT: no listening on {port}: something else does, or it may not")
    return port


def _add_outside_world(stack: Stack, given: Mapping[str, str]) -> None:
    """Stripe and mail, each from the sandbox unless a real one is given."""
    environment = stack.environment
    if "SMTP_URL" not in given:
        smtp_port = str(ports.free())
        environment["SMTP_URL"] = f"smtp://127.0.0.1:{smtp_port}"
        stack.commands["mail"] = _python("sandbox.mail", port=smtp_port, folder=str(stack.mail_folder))
    environment.setdefault("MAIL_FROM", "Chatness <no-reply@chatness.example>")
    environment.setdefault("ACCOUNTS_CLIENT_LIMIT_FACTOR", "1000")  # everybody comes from one machine
    environment.setdefault("SUPPORT_ADDRESS", "support@chatness.example")
    _add_mailroom(environment)
    if "STRIPE_API_KEY" not in given:
        stripe_port = str(ports.free())
        environment["STRIPE_API_KEY"] = "sk_test_sandbox"
        environment["STRIPE_API_BASE"] = f"http://127.0.0.1:{stripe_port}"
        stack.commands["stripe"] = _python(
            "sandbox.stripe",
            port=stripe_port,
            state=str(stack.directory / "stripe.db"),
            clock_file=str(stack.clock_file),
            webhook_url=f"{environment['PUBLIC_URL']}/v1/stripe/webhook",
            webhook_secret=environment["STRIPE_WEBHOOK_SECRETS"].split(",")[0],
            catalogue=environment.get("BILLING_CATALOGUE", _shipped_catalogue()),
        )


def _add_mailroom(environment: dict[str, str]) -> None:
    """What `chatness write` brings it counts as checked: it stands for the mail server before a real mailroom."""
    environment.setdefault("SUPPORT_FORWARD_TO", "people@chatness.example")
    environment.setdefault("MAILROOM_PORT", str(ports.free()))
    if environment.keys().isdisjoint({"MAILROOM_AUTHSERV_ID", "MAILROOM_DKIM_KEYS"}):
        environment["MAILROOM_AUTHSERV_ID"] = letters.MAIL_SERVER
        environment.setdefault("MAILROOM_MAIL_SERVERS", "127.0.0.1")


def _python(module: str, **options: Any) -> tuple[str, ...]:
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return (sys.executable, "-m", module, *words)


def _shipped_catalogue() -> str:
    import services.billing

    return str(Path(services.billing.__file__).with_name("catalogue.toml"))
