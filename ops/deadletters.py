"""
`chatness deadletters`: messages that a consumer could not decode, or that ended it too often.

Nothing hangs on them: the event itself stands in its producer's log, and the consumer has pulled it from there. Their
content may be anything, so nothing of it is shown unless asked for.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click
import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from ops import exits, processes, rabbitmq, reach
from shared import clock

REFRESH_AFTER = 10  # looks; a broker of today drops a message that has come back twenty times
MOST_LOOKED_AT = 1000  # of a consumer, at once: they are held in memory meanwhile
TEXT_LENGTH = 60


@dataclass(frozen=True)
class Grave:
    """The dead letters of one service's consumer of one producer."""

    service: str
    producer: str

    @property
    def consumer(self) -> str:
        return f"{self.service}.from.{self.producer}"

    @property
    def queue(self) -> str:
        return f"{self.consumer}.dead"

    def __str__(self) -> str:
        return f"{self.service}/{self.producer}"


@dataclass(frozen=True)
class Letter:
    grave: Grave
    tag: int
    properties: pika.BasicProperties = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """The same at every look, and nothing of the content can be read from it."""
        told = [self.properties.message_id or "", str(self._death.get("time", ""))]
        return f"{self.grave}/{hashlib.sha256(self.body + repr(told).encode()).hexdigest()[:12]}"

    @property
    def headers(self) -> dict[str, Any]:
        return dict(self.properties.headers or {})

    @property
    def looks(self) -> int:
        """How often it was taken from its grave and put back."""
        return int(self.headers.get("x-delivery-count", 0))

    @property
    def _death(self) -> dict[str, Any]:
        deaths = self.headers.get("x-death") or [{}]
        return dict(deaths[0])

    def describe(self) -> dict[str, Any]:
        """What the broker says of it, and what its sender wrote on the cover, cut short and made harmless."""
        died_at = self._death.get("time")
        return {
            "id": self.id,
            "bytes": len(self.body),
            "content_type": _harmless(self.properties.content_type),
            "message_id": _harmless(self.properties.message_id),
            "reason": _harmless(self._death.get("reason")),
            "died_at": clock.rfc3339(died_at.replace(tzinfo=UTC)) if isinstance(died_at, datetime) else "",
        }

    def resurrected(self) -> pika.BasicProperties:
        """The properties to send it again with, without what brokers have written on it."""
        kept = {
            name: value for name, value in self.headers.items() if not name.startswith(("x-death", "x-first-death"))
        }
        return self._with(kept)

    def refreshed(self) -> pika.BasicProperties:
        """The properties to bury it again with, as if it had never been looked at."""
        return self._with(self.headers)

    def _with(self, headers: dict[str, Any]) -> pika.BasicProperties:
        names = ("content_type", "content_encoding", "correlation_id", "message_id", "timestamp", "type", "app_id")
        kept = {name: getattr(self.properties, name) for name in names}
        headers.pop("x-delivery-count", None)
        return pika.BasicProperties(**kept, headers=headers or None, delivery_mode=pika.DeliveryMode.Persistent)


def list_letters(services: Collection[str], producers: Collection[str], limit: int, as_json: bool) -> int:
    """For each consumer how many there are, then the oldest of them."""
    found = False
    with _channel() as channel:
        for grave in _graves(services, producers):
            letters = _dig(channel, grave)
            found = found or bool(letters)
            if not as_json and letters:
                click.echo(f"{grave}: {len(letters)}")
            for letter in letters[:limit]:
                click.echo(json.dumps(letter.describe()) if as_json else _text(letter))
            _put_back(channel, letters)
    if not found:
        click.echo("there are no dead letters", err=True)
    return exits.OK


def show(id: str, *, reveal: bool, as_json: bool) -> int:
    with _channel() as channel:
        letters = _dig(channel, _grave_of(id))
        shown = next((_full(letter, reveal=reveal) for letter in letters if letter.id == id), None)
        _put_back(channel, letters)
    if shown is None:
        raise exits.NotThere(f"there is no dead letter {id}")
    click.echo(json.dumps(shown, indent=None if as_json else 2))
    return exits.OK


def requeue(
    ids: Collection[str], services: Collection[str], producers: Collection[str], *, execute: bool, as_json: bool
) -> int:
    """
    Send letters to their consumer again, and nobody else: those named, or all.

    Killed between the two, a letter is in both places: the consumer skips what it knows.
    """

    def send(channel: BlockingChannel, letter: Letter) -> None:
        _publish(channel, letter.grave.consumer, letter.resurrected(), letter.body)
        channel.basic_ack(letter.tag)

    return _change(ids, services, producers, send, "requeued", execute=execute, as_json=as_json)


def discard(
    ids: Collection[str], services: Collection[str], producers: Collection[str], *, execute: bool, as_json: bool
) -> int:
    def drop(channel: BlockingChannel, letter: Letter) -> None:
        channel.basic_ack(letter.tag)

    return _change(ids, services, producers, drop, "discarded", execute=execute, as_json=as_json)


def _change(
    ids: Collection[str],
    services: Collection[str],
    producers: Collection[str],
    change: Any,
    word: str,
    *,
    execute: bool,
    as_json: bool,
) -> int:
    graves = {_grave_of(id) for id in ids} if ids else _graves(services, producers)
    with _channel() as channel:
        letters = [letter for grave in graves for letter in _dig(channel, grave)]
        chosen = [letter for letter in letters if not ids or letter.id in ids]
        missing = sorted(set(ids) - {letter.id for letter in chosen})
        changed = chosen if execute and not missing else []
        for letter in changed:
            change(channel, letter)
        _put_back(channel, [letter for letter in letters if letter not in changed])
        if missing:
            raise exits.NotThere(f"there is no dead letter {', '.join(missing)}")
        for letter in chosen:
            text = f"{letter.id}  {word if execute else f'would be {word}'}"
            click.echo(json.dumps({"id": letter.id, word: execute}) if as_json else text)
    if not chosen:
        click.echo("there is none", err=True)
    elif not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK


@contextlib.contextmanager
def _channel() -> Iterator[BlockingChannel]:
    """What was taken on it and neither acknowledged nor put back goes back to where it was when it is closed."""
    try:
        with rabbitmq.connected(reach.amqp_uri()) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
    except pika.exceptions.UnroutableError as error:
        raise exits.NotThere("the consumer has no queue: start its worker first") from error
    except rabbitmq.AWAY as error:
        raise exits.Away(f"RabbitMQ does not answer: {rabbitmq.reason_of(error)}") from error


def _dig(channel: BlockingChannel, grave: Grave) -> list[Letter]:
    """
    The oldest, in order, not acknowledged; none where the consumer was never there.

    Taken until there is none, and not as many as the broker counts: its count may lag behind what was put back a
    moment ago, and a letter taken before its neighbours are back goes behind them when it is put back itself.
    """
    letters: list[Letter] = []
    if rabbitmq.look_at(channel.connection, grave.queue) is None:
        return letters
    left = 0
    while len(letters) < MOST_LOOKED_AT:
        method, properties, body = channel.basic_get(grave.queue)
        if method is None or properties is None:
            return letters
        letters.append(Letter(grave, method.delivery_tag, properties, body or b""))
        left = int(method.message_count or 0)
    if left:
        click.echo(f"{grave}: only {len(letters)} of {len(letters) + left} dead letters are looked at", err=True)
    return letters


def _put_back(channel: BlockingChannel, letters: list[Letter]) -> None:
    """
    In order: one by one, since a quorum queue loses it when a channel is closed that holds ten of them or more.

    Before one has been looked at too often all are buried anew; where there are more than are looked at, these come
    behind the others.
    """
    tired = any(letter.looks >= REFRESH_AFTER for letter in letters)
    for letter in letters:
        if tired:
            _publish(channel, letter.grave.queue, letter.refreshed(), letter.body)
            channel.basic_ack(letter.tag)
        else:
            channel.basic_nack(letter.tag, requeue=True)


def _publish(channel: BlockingChannel, queue: str, properties: pika.BasicProperties, body: bytes) -> None:
    """Straight into the queue, and not before the broker has confirmed it do we go on."""
    channel.basic_publish("", queue, body, properties, mandatory=True)


def _graves(services: Collection[str], producers: Collection[str]) -> list[Grave]:
    return [
        Grave(service, hears.catalogue.service)
        for service in services
        for hears in reach.hears_of(service)
        if not producers or hears.catalogue.service in producers
    ]


def _grave_of(id: str) -> Grave:
    service, _, rest = id.partition("/")
    grave = Grave(service, rest.partition("/")[0])
    if service not in processes.SERVICES or grave not in _graves([service], ()):
        raise exits.NotThere(f"{id} is no dead letter: they are called as `chatness deadletters list` shows them")
    return grave


def _full(letter: Letter, *, reveal: bool) -> dict[str, Any]:
    """Of the headers those that brokers write, as far as the sender had no say in them; the rest is content."""
    deaths = [
        {name: str(death.get(name, "")) for name in ("reason", "queue", "time", "count")}
        for death in letter.headers.get("x-death") or ()
    ]
    shown = {**letter.describe(), "looks": letter.looks, "deaths": deaths}
    if reveal:
        headers = json.loads(json.dumps(letter.headers, default=str))
        return {**shown, "headers": headers, "body": letter.body.decode(errors="backslashreplace")}
    return {**shown, "headers": "hidden: --reveal", "body": "hidden: --reveal"}


def _harmless(text: Any) -> str:
    """Whoever sent it may have written anything there: no line breaks, nothing that moves a terminal, not long."""
    shown = "".join(character if character.isprintable() else "?" for character in str(text or ""))
    return shown if len(shown) <= TEXT_LENGTH else f"{shown[:TEXT_LENGTH]}…"


def _text(letter: Letter) -> str:
    said = letter.describe()
    what = f"{said['content_type'] or 'no content type'}  {said['message_id'] or 'no message id'}"
    return f"  {said['id']:<34} {said['died_at']:<21} {said['reason']:<14} {said['bytes']:>8} bytes  {what}"
