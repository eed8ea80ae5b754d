"""
What `chatness serve` and `chatness worker` run: services by name, put together from their rooms.
"""

import ctypes
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from sqlalchemy import exc

from ops import settings as ops_settings
from services import access, suspension
from shared import config, database, failpoints, health, logs, metrics, readiness

SERVICES = ("accounts", "billing", "secrets", "quota")
SWITCH_SECONDS = 0.001  # an event passes through a few threads: none should wait 5 ms, Python's usual, for its turn
# Less than the watchdog gives a handler, so that a slow database is not taken for a handler that hangs; and a
# transaction may stand still for longer than that, or the connection would be lost before the watchdog sees it.
WORKER_LIMITS = {"statement_timeout_seconds": 8.0, "lock_timeout_seconds": 5.0, "idle_timeout_seconds": 30.0}
PR_SET_DUMPABLE = 4  # linux/prctl.h
log = logs.logger(__name__)


def begin(process: str, common: ops_settings.Settings, *settings: Any) -> None:
    """With one line that tells the configuration, secrets blotted out."""
    keep_to_ourselves()
    logs.configure(process, level=common.log_level, as_text=common.log_format == "text")
    shown = {name: value for one in (common, *settings) for name, value in config.shown(one).items()}
    log.info("starting", settings=shown)
    if common.fail_at is not None:
        place, at = common.fail_at
        failpoints.arm(place, at=at)


def keep_to_ourselves() -> None:
    """
    Let no other process of our user read our memory, nor our environment with the secrets in it: the decoder of
    strangers' pictures is one. Nor does a crash write them to a disk.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def load_service(name: str) -> Any:
    """A service's own settings. :raises BadConfiguration:"""
    return config.load(settings_of(name))


def settings_of(name: str) -> type[Any]:
    """The settings class of a service, or of the gateway."""
    found: type[Any] = import_module(f"services.{name}.settings").Settings
    return found


def open_database(settings: Any, common: ops_settings.Settings, **options: Any) -> database.Database:
    return database.Database(settings.database_url, ops_settings.business_clock(common), **options)


def serve(names: tuple[str, ...]) -> int:
    """Answer RPC for the services named; the process is green already."""
    from shared import doors, presence
    from shared import serve as nameko_serve

    common = ops_settings.load()
    settings = {name: load_service(name) for name in names}
    begin(f"serve {' '.join(names)}", common, *settings.values())
    houses = {
        name: doors.House(
            database=open_database(settings[name], common),
            authorise=access.check,
            fingerprint_key=common.key,
            settings=settings[name],
            refused=suspension.REFUSED,
        )
        for name in names
    }
    classes = {name: import_module(f"services.{name}.service").SERVICE for name in names}
    databases = {name: house.database for name, house in houses.items()}
    _erase_again(common, databases)
    _open_green_health(common, f"serve {' '.join(names)}", readiness.of_databases(_looking(databases)))
    at_work = presence.Presence(
        f"serve {' '.join(names)}",
        databases,
        lambda name: [*([] if nameko_serve.ready() else ["RabbitMQ"]), *classes[name].misses(settings[name])],
    )
    at_work.start()
    services = list(classes.values())
    return nameko_serve.serve(services, amqp_uri=common.amqp_uri, config={"houses": houses}, on_stop=at_work.stop)


def serve_gateway() -> int:
    """Open the HTTP API; the process is green already."""
    from services.gateway import service
    from services.gateway import settings as gateway_settings
    from shared import serve as nameko_serve

    common = ops_settings.load()
    settings = config.load(gateway_settings.Settings)
    begin("serve gateway", common, settings)
    _open_green_health(common, "serve gateway", {})
    return nameko_serve.serve(
        [service.Gateway],
        amqp_uri=common.amqp_uri,
        config={"gateway": settings},
        max_workers=settings.connections,
    )


def work(names: tuple[str, ...]) -> int:
    """Publish, follow, do jobs and watch the clock for the services named, until SIGTERM."""
    from shared import presence, rpc_client, watchdog, worker

    sys.setswitchinterval(SWITCH_SECONDS)
    common = ops_settings.load()
    settings = {name: load_service(name) for name in names}
    begin(f"worker {' '.join(names)}", common, *settings.values())
    rpc_client.check_broker(common.amqp_uri)
    homes = {name: open_database(settings[name], common, **WORKER_LIMITS) for name in names}
    noted = _erase_again(common, homes)
    workers = {}
    for name, home in homes.items():
        todo = work_of(name, settings[name], home)
        todo = replace(todo, timers=[*todo.timers, *noted.get(name, ())])
        workers[name] = worker.Worker(todo, home, common.amqp_uri)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    _open_worker_health(common, f"worker {' '.join(names)}", workers, stopping)
    at_work = presence.Presence(
        f"worker {' '.join(names)}",
        {name: one.database for name, one in workers.items()},
        lambda service: workers[service].away(),
    )
    watchdog.start()
    for one in workers.values():
        one.start()
    at_work.start()
    stopping.wait()
    _stop(workers.values(), at_work)
    return 0


def _erase_again(common: ops_settings.Settings, homes: Mapping[str, database.Database]) -> dict[str, list[Any]]:
    """
    What a restored database has brought back.

    :returns: by service, the timers that write down what is erased from now on
    """
    if common.erased_register is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns that new projects should not choose it
        from ops import register

    kept = register.Register(common.erased_register)
    register.apply(kept, homes)
    return {register.WRITER: [kept.timer()]}


def _stop(workers: Iterable[Any], at_work: Any) -> None:
    """All at once: each may take the time that a stop has."""
    at_work.stop()
    enders = [threading.Thread(target=one.stop) for one in workers]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join()
    log.info("stopped")


def migrate_all(names: tuple[str, ...]) -> dict[str, list[str]]:
    """
    Bring the databases of the services to this release; gives the revisions that ran. Of their settings it needs
    the databases' addresses and no other, so that who migrates need not be trusted with more.

    :raises BadConfiguration: if there is no way into one of them
    """
    urls = {name: config.load_one(settings_of(name), "database_url") for name in names}
    return {name: _migrate(name, url) for name, url in urls.items()}


def _migrate(name: str, url: str) -> list[str]:
    from shared import migrate

    try:
        return migrate.upgrade(url, name)
    except exc.OperationalError as error:
        reason = " ".join(str(error.orig).split())  # libpq's own, which may have several lines
        raise config.BadConfiguration(f"{name.upper()}_DATABASE_URL: {reason}") from None


def work_of(name: str, settings: Any, home: database.Database) -> Any:
    """What a service's worker does: whom it hears, its jobs, its timers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns that new projects should not choose it
        room = import_module(f"services.{name}.worker")
    return room.work(settings, home)


def _open_green_health(common: ops_settings.Settings, role: str, checks: health.Checks) -> None:
    from shared import hub
    from shared import serve as nameko_serve

    our_hub = hub.Hub()
    our_hub.start()
    metrics.describe(role)
    health.serve(
        common.health_port,
        {"running": nameko_serve.running, "rpc": nameko_serve.ready, **checks},
        host=common.health_host,
        stuck=our_hub.stuck,
        spawn=our_hub.spawn,
    )


def _open_worker_health(
    common: ops_settings.Settings, role: str, workers: Mapping[str, Any], stopping: threading.Event
) -> None:
    from shared import gauges

    homes = _looking({name: one.database for name, one in workers.items()})
    metrics.describe(role)
    health.serve(
        common.health_port,
        {**readiness.of_workers(workers, stopping), **readiness.of_databases(homes)},
        host=common.health_host,
        stuck=lambda: [name for one in workers.values() for name in one.stuck()],
        sources=[source for name, one in workers.items() for source in gauges.sources(one, homes[name])],
    )


def _looking(homes: Mapping[str, database.Database]) -> dict[str, database.Database]:
    return {name: home.looking() for name, home in homes.items()}
