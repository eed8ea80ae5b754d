"""
`chatness doctor`: one page for a person at three in the morning; and `chatness consumers status`.

It changes nothing, and no part that is away holds it up: all looks go at once, each for a few seconds at most.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

import click
import requests
from rich.console import Console
from rich.text import Text

from ops import consumers, exits, findings, limits, looks, processes, rabbitmq, reach, sights
from ops import settings as ops_settings
from ops.findings import Finding
from ops.looks import Away
from services.gateway import settings as gateway_settings
from shared import config, context, database, rpc_client

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "ill": ("✗", "bold red"), "away": ("?", "bold magenta")}
VERDICTS: dict[int, findings.Level] = {exits.OK: "ok", exits.FAILED: "ill", exits.AWAY: "away"}
INDENT = "    "


def examine(as_json: bool) -> int:
    """Look at everything, and print the page. Exit codes: `findings.exit_code`."""
    began = time.monotonic()
    found = list(_findings())
    code = findings.exit_code(found)
    seconds = time.monotonic() - began
    if as_json:
        for finding in found:
            click.echo(json.dumps(dataclasses.asdict(finding)))
        verdict = Finding("verdict", "everything", VERDICTS[code], f"looked for {seconds:.1f} s")
        click.echo(json.dumps({**dataclasses.asdict(verdict), "healthy": code == exits.OK, "exit_code": code}))
    else:
        _print(found, code, seconds)
    return code


def status(services: Collection[str], as_json: bool) -> int:
    """How these services follow the others. Exit codes as the doctor's."""
    reach.environment(services)  # so that all that is missing is named at once
    links = consumers.links(services)
    homes = _homes({name for link in links for name in link})
    amqp_uri = reach.amqp_uri()
    asked: dict[Any, Callable[[], Any]] = {name: partial(sights.look, home, name) for name, home in homes.items()}
    asked |= {link: partial(consumers.look_at_queues, amqp_uri, link) for link in links}
    seen = looks.at_once(asked, seconds=limits.LOOK_SECONDS)
    told: list[Finding] = []
    for consumer in consumers.gather(homes, seen, {link: seen[link] for link in links}):
        ours = findings.of_consumer(consumer)
        click.echo(json.dumps(consumer.document()) if as_json else _consumer_text(consumer, ours))
        told += ours
    return findings.exit_code(told)


def _findings() -> Iterable[Finding]:
    homes = _homes(processes.SERVICES)
    amqp_uri = reach.amqp_uri()
    url = _gateway_url()
    links = consumers.links(processes.SERVICES)
    asked: dict[Any, Callable[[], Any]] = {name: partial(sights.look, home, name) for name, home in homes.items()}
    asked |= {link: partial(consumers.look_at_queues, amqp_uri, link) for link in links}
    asked |= {("call", name): partial(_call, amqp_uri, name) for name in homes}
    asked |= {("call", "gateway"): partial(_ask_gateway, url), "RabbitMQ": partial(rabbitmq.takes_messages, amqp_uri)}
    seen = looks.at_once(asked, seconds=limits.LOOK_SECONDS)

    by_service = {name: seen[name] for name in homes}
    followers = consumers.gather(homes, by_service, {link: seen[link] for link in links})
    yield from findings.of_processes(by_service)
    yield from findings.of_calls({name: seen["call", name] for name in (*homes, "gateway")})
    yield from findings.of_databases(by_service)
    yield findings.of_broker(seen["RabbitMQ"])
    yield from findings.of_logs(by_service)
    for follower in followers:
        yield from findings.of_consumer(follower)
    yield from findings.of_parked(by_service)
    yield from findings.of_dead_letters(followers)
    yield from findings.of_jobs(by_service)
    yield from findings.of_erasures(by_service)
    yield from findings.of_clocks(by_service)
    yield from findings.of_migrations(by_service)


def _gateway_url() -> str:
    """Not always the one that clients know: to there the way may lead through what is ill."""
    given = reach.environment()
    own: str = config.load(ops_settings.CommandLineSettings, given).gateway_url
    return own.rstrip("/") or config.load_one(gateway_settings.Settings, "public_url", given)


def _homes(services: Iterable[str]) -> dict[str, database.Database]:
    return reach.open_databases(services, timeout_seconds=limits.LOOK_SECONDS)


def _call(amqp_uri: str, service: str) -> float | Away:
    """How many seconds a service takes to answer a question that changes nothing."""
    began = time.monotonic()
    with (
        rpc_client.BlockingClient(amqp_uri) as client,
        context.use(actor=context.Actor(kind="operator", id="doctor")),
    ):
        try:
            client.call(service, "read_log", timeout=limits.LOOK_SECONDS - 1, after=0, hash="", limit=1)
        except Exception as error:  # noqa: BLE001  # what a service may answer instead
            return Away(type(error).__name__)
    return time.monotonic() - began


def _ask_gateway(url: str) -> float | Away:
    """The plans: they come from billing, by way of RabbitMQ."""
    try:
        answer = requests.get(f"{url}/v1/plans", timeout=limits.LOOK_SECONDS - 1)
    except requests.RequestException as error:
        return Away(f"{url}: {type(error).__name__}")
    return answer.elapsed.total_seconds() if answer.ok else Away(f"{url}: {answer.status_code}")


def _print(found: list[Finding], code: int, seconds: float) -> None:
    console = Console(highlight=False, soft_wrap=True)
    section = ""
    for finding in found:
        if finding.section != section:
            section = finding.section
            console.print(Text(section, style="bold"))
        console.print(_line(finding))
        if finding.next:
            console.print(Text(f"{INDENT}→ {finding.next}", style="dim"))
    ill = sum(finding.level in ("ill", "away") for finding in found)
    verdict = "healthy" if code == exits.OK else f"NOT HEALTHY: {ill} lines with ✗ or ?; see docs/operations.md"
    console.print(
        Text(f"\n{verdict} (looked for {seconds:.1f} s)", style="green" if code == exits.OK else "bold red")
    )


def _line(finding: Finding) -> Text:
    mark, style = MARKS[finding.level]
    return Text.assemble("  ", (mark, style), f" {finding.subject}: ", (finding.text, style if mark != "✓" else ""))


def _consumer_text(consumer: consumers.Consumer, told: list[Finding]) -> str:
    shown = {name: "?" if value is None else value for name, value in consumer.document().items()}
    marks = " ".join(f"{MARKS[finding.level][0]} {finding.text}" for finding in told)
    return (
        f"{consumer.name:<24} at {shown['position']}, {shown['ready']} ready, {shown['consumers']} consumers, "
        f"{shown['parked']} parked, {shown['dead']} dead  {marks}"
    )
