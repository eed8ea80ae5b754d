"""
One process that answers calls: nameko services on green threads, from start to a clean stop.

Whoever starts such a process calls `green()` first, before anything of it is imported.
"""

import gc
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from shared import logs
from shared.config import BadConfiguration, give_up

log = logs.logger(__name__)

STOP_SECONDS = 15.0  # more than the longest call takes, which waits for Stripe
LOOK_SECONDS = 0.1
COLLECT_AFTER = (10_000, 10, 10)  # allocations, and rounds of each younger generation

_running: list[Any] = []  # the runner, while its services answer and nobody has asked it to stop


def green() -> None:
    """Make the standard library, and psycopg2 with it, give way to other green threads wherever it waits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns that new projects should not choose it
        import eventlet

    # Before anything is green: a real thread reads the figures, and must not meet a green lock there.
    import prometheus_client  # noqa: F401

    eventlet.monkey_patch()


def serve(
    services: Sequence[type],
    *,
    amqp_uri: str,
    config: dict[str, Any],
    max_workers: int = 32,
    prefetch: int | None = None,
    on_stop: Callable[[], None] | None = None,
) -> int:
    """
    Run services until SIGTERM or SIGINT, or until one of them dies.

    A stop takes no new call and finishes those under way, for 15 seconds at most.

    :param config: nameko's configuration, such as WEB_SERVER_ADDRESS
    :param prefetch: calls taken from the queue and not yet answered, at most; by default one per worker
    :param on_stop: what else is to be closed, after the last call
    :returns: the process's exit code: 0 after a signal, 1 if a service died
    :raises SystemExit: as bad configuration does, if the broker refuses us
    """
    from nameko.runners import ServiceRunner

    # nameko would log every refusal with its traceback; `shared.rpc` has a line for each call.
    logging.getLogger("nameko.containers").setLevel(logging.CRITICAL)
    runner = ServiceRunner(
        {
            **config,
            "AMQP_URI": amqp_uri,
            "max_workers": max_workers,
            "prefetch": prefetch or max_workers,
            "serializer": "json",
            "ACCEPT": ["json"],
        }
    )
    for service in services:
        runner.add_service(service)
    deaths = _run(runner)
    if on_stop is not None:
        on_stop()
    return _exit_code(deaths)


def running() -> bool:
    """Whether the services of this process have been started, and nobody has asked it to stop."""
    return bool(_running)


def ready() -> bool:
    """Whether the services of this process hear and can answer: all connections to the broker stand."""
    from shared.rpc.connection import KeptConnection

    return bool(_running) and all(
        extension.connected
        for runner in _running
        for container in runner.containers
        for extension in container.extensions
        if isinstance(extension, KeptConnection)
    )


def _run(runner: Any) -> list[Exception]:
    import eventlet

    last_resort = _last_resort()
    signals: list[int] = []

    def on_signal(number: int, _frame: Any) -> None:
        # It interrupts anything, so it only leaves a note, and a timer in case nobody ever reads the note.
        signals.append(number)
        _running.clear()
        if len(signals) == 1:
            last_resort.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        runner.start()
    except OSError as error:  # such as an address that is in use
        return [error]
    _spare_the_collector()
    if not signals:
        _running.append(runner)
    lives = [eventlet.spawn(_death_of, container) for container in runner.containers]
    while not signals and not any(life.dead for life in lives):
        eventlet.sleep(LOOK_SECONDS)

    _running.clear()
    if not signals:
        signal.raise_signal(signal.SIGTERM)  # a death ends as a stop does, with the same time limit
    runner.stop()
    last_resort.cancel()
    return [death for life in lives if (death := life.wait()) is not None]


def _spare_the_collector() -> None:
    """
    Let the garbage collector look at what requests leave behind, and no more at all that was made at the start.

    By its own measure it would go through hundreds of thousands of lasting objects several times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _death_of(container: Any) -> Exception | None:
    try:
        container.wait()
    except Exception as death:  # noqa: BLE001 - whatever it is, it is the answer
        return death
    return None


def _last_resort() -> Any:
    """A real thread, because the green ones may be what hangs."""
    from eventlet import patcher

    timer = patcher.original("threading").Timer(STOP_SECONDS, _end_hard)
    timer.daemon = True
    return timer


def _end_hard() -> None:
    os.write(sys.stderr.fileno(), b"chatness: the stop took too long; ending at once\n")
    os._exit(1)


def _exit_code(deaths: list[Exception]) -> int:
    for death in deaths:
        if isinstance(death, BadConfiguration):
            give_up(str(death))
        log.error("service died", reason=f"{type(death).__name__}: {death}")
    return 1 if deaths else 0
