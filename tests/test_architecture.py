"""The walls of the house, read from the source: who may import what, who sees the clock, how large is too large."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parent.parent
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "__init__.py").exists())

RPC = ("shared/rpc/*.py", "shared/rpc_wire.py", "shared/rpc_client.py")
PAGES = ("services/gateway/pages/*.py",)
GATEWAY = ("services/gateway/*.py", "services/gateway/routes/*.py")
OUTSIDE = ("ops/*.py", "sandbox/*.py", "sandbox/stripe/*.py")
DOMAINS = (
    *("services/*/domain.py", "services/accounts/account.py", "services/accounts/org.py"),
    *("services/quota/ledger.py", "services/quota/credits.py"),
    *("services/quota/bots.py", "services/quota/forecast.py"),
)

# Who may import a library, by the patterns of their paths. What a library does is then known to be done there.
LIBRARIES = {
    "stripe": ("services/billing/stripe_*.py",),
    "pika": ("shared/relay.py", *OUTSIDE),
    "kombu": ("shared/consumer.py", *RPC),
    "amqp": RPC,
    "nameko": (*RPC, "shared/serve.py", "shared/doors.py", "shared/errors.py", "services/*/service.py", *GATEWAY),
    "eventlet": (*RPC, "shared/serve.py", "shared/hub.py", *GATEWAY, "services/accounts/passwords.py"),
    "psycopg2": ("shared/dialect.py", "shared/worker.py", "sandbox/postgres.py"),
    "alembic": (
        "shared/migrate.py",
        "shared/migrations/*.py",
        "shared/migrations/versions/*.py",
        "services/*/migrations/*.py",
    ),
    "flask": (*GATEWAY, *PAGES, "sandbox/stripe/*.py"),
    "flask_wtf": PAGES,
    "wtforms": PAGES,
    "marshmallow": GATEWAY,
    "prometheus_client": ("shared/metrics.py", "shared/gauges.py", "shared/serve.py"),
    "smtplib": ("shared/mail.py", "sandbox/letters.py"),
    "aiosmtpd": ("sandbox/mail.py", "services/mailroom/door.py"),
    "dkim": ("services/mailroom/authenticity.py",),
    "authres": ("services/mailroom/authenticity.py",),
    "dns": ("services/mailroom/authenticity.py",),
    "PIL": ("services/gateway/picture_decoder.py",),
    "argon2": ("services/accounts/passwords.py",),
    "jinja2": ("services/accounts/letters.py", "sandbox/stripe/*.py"),
    "structlog": ("shared/logs.py",),
    "requests": ("services/billing/stripe_transport.py", *OUTSIDE),
    "environs": (),  # settings are read by shared/config.py
}

# What rules may be made of. Moments are given to them; `shared.clock` is here for its functions of moments.
PURE = {
    *("__future__", "collections", "collections.abc", "dataclasses", "datetime", "enum", "functools", "itertools"),
    *("re", "typing", "unicodedata"),
    *("shared.clock", "shared.errors", "shared.events", "shared.frozen"),
}
PURE_ROOMS = {"events", "catalogue", "credits"}  # rooms of the same service that hold no more than that

# Doors to the world that the rest of `shared` and `services` is kept from, and who may use them.
DOORS = {
    "datetime.now": ("shared/clock.py",),
    "datetime.utcnow": (),
    "datetime.today": (),
    "date.today": (),
    # Deadlines of calls, and the age of a webhook's signature, are the machine's time and not the business clock's.
    "time.time": (
        *(*RPC, *GATEWAY, "shared/database.py"),
        *("services/*/service.py", "services/quota/counting.py", "services/accounts/passwords.py"),
    ),
    "time.time_ns": ("shared/ids.py",),
    "os.environ": ("shared/config.py",),
    "os.getenv": (),
    "os.urandom": ("shared/ids.py",),
    "uuid": RPC,
    # Jitter.
    "random": (
        *("shared/consumer.py", "shared/doors.py", "shared/parking.py", "shared/rpc/connection.py"),
        *("services/billing/reconciling.py", "services/billing/stripe_transport.py"),
    ),
    # One way to Stripe, with a circuit breaker in it; see also the test of its clients.
    "stripe.HTTPClient": ("services/billing/stripe_transport.py",),
    "stripe.RequestsClient": ("services/billing/stripe_transport.py",),
    "secrets": ("services/gateway/api_secret.py", "services/accounts/tokens.py", "services/accounts/passwords.py"),
}

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
# Each of these is one literal: a whole object as Stripe shows it, which is read best in one piece.
LITERALS = {
    "sandbox/stripe/checkout.py:_session",
    "sandbox/stripe/invoice_object.py:new",
    "sandbox/stripe/subscription_object.py:new",
}


def sources(*folders: str) -> list[str]:
    """The paths of all modules below the folders, relative to the repository."""
    return sorted(path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*.py"))


OURS = sources("shared", "services", "ops", "sandbox")
INSIDE = sources("shared", "services")


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def imports_of(path: str) -> Iterator[str]:
    """
    The full names of what a module imports anywhere in it: `from shared import errors` is `shared.errors`, and
    `from services.billing.events import X` is `services.billing.events`.
    """
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if is_module(name) else str(node.module)


def is_module(name: str) -> bool:
    """Whether it names a module or package of ours, and not something within one."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def uses_of(path: str) -> Iterator[str]:
    """What a module imports, and every `name.attribute` in it."""
    yield from imports_of(path)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).match(pattern) for pattern in patterns)


def is_part_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def service_of(path: str) -> str:
    return path.split("/")[1]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_where_it_belongs(library):
    importers = {path for path in OURS if any(is_part_of(name, library) for name in imports_of(path))}

    assert {path for path in importers if not matches(path, LIBRARIES[library])} == set()


@pytest.mark.parametrize("door", DOORS)
def test_clock_chance_and_environment_are_reached_only_through_their_doors(door):
    users = {path for path in INSIDE if any(name == door for name in uses_of(path))}

    assert {path for path in users if not matches(path, DOORS[door])} == set()


def test_clients_of_stripe_are_made_in_one_place():
    makers = {
        path
        for path in OURS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "stripe.StripeClient"
    }

    assert makers == {"services/billing/stripe_calls.py"}


@pytest.mark.parametrize("path", [path for path in INSIDE if matches(path, DOMAINS)])
def test_rules_are_made_of_nothing_but_python_and_their_own_events(path):
    rooms = {f"services.{service_of(path)}.{room}" for room in PURE_ROOMS}

    assert set(imports_of(path)) - PURE - rooms == set()


def test_every_service_with_events_keeps_its_rules_in_a_module_of_rules():
    ruled = {service_of(path) for path in INSIDE if matches(path, DOMAINS)}

    assert {service_of(path) for path in sources("services") if path.endswith("/events.py")} - ruled == set()


def test_the_kernel_knows_no_service_and_nothing_that_runs_it():
    for path in sources("shared"):
        assert [name for name in imports_of(path) if name.split(".")[0] in {"services", "ops", "sandbox"}] == [], path


def test_services_know_nothing_that_runs_them():
    for path in sources("services"):
        assert [name for name in imports_of(path) if name.split(".")[0] in {"ops", "sandbox", "tests"}] == [], path


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_of_another_only_its_events(service):
    allowed = {f"services.{other}.events" for other in SERVICES} | {"services.access", "services.suspension"}
    imported = {name for path in sources(f"services/{service}") for name in imports_of(path)}
    foreign = {
        name for name in imported if is_part_of(name, "services") and not is_part_of(name, f"services.{service}")
    }

    assert foreign - allowed == set()


@pytest.mark.parametrize("folder", ["shared", "services", "ops", "sandbox"])
def test_no_module_outgrows_its_room(folder):
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in sources(folder)}

    assert {path: count for path, count in lines.items() if count > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("folder", ["shared", "services", "ops", "sandbox"])
def test_no_function_is_longer_than_a_page(folder):
    long = {
        f"{path}:{node.name}": length
        for path in sources(folder)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }

    assert {name: length for name, length in long.items() if name not in LITERALS} == {}


def test_the_walls_would_notice():
    """That the tests above see what they look for, in places where it stands today."""
    assert "pika" in set(imports_of("shared/relay.py"))
    assert "shared.errors" in set(imports_of("services/quota/ledger.py"))
    assert "services.billing.events" in set(imports_of("services/quota/worker.py"))
    assert "datetime.now" in set(uses_of("shared/clock.py"))
    assert "os.environ" in set(uses_of("shared/config.py"))
