"""
A TCP proxy between a process and PostgreSQL or RabbitMQ that does what networks do: delay, stall, cut, reset, refuse.

It runs on a thread of its own; the methods may be called from any.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # SO_LINGER on, 0 s: closing sends RST and drops what waits


class Cut(Exception):
    """This connection ends here."""


@dataclass(eq=False)
class Weather:
    """What becomes of the bytes. Touched on the proxy's thread only."""

    delay_seconds: float = 0.0
    refuses: bool = False
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    bytes_left: int | None = None
    word: bytes = b""
    word_passes: bool = False
    cuts_left: int = 0


class Proxy:
    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._weather = Weather()
        self._weather.flows.set()
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()
        self._server = self._call(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def url(self, url: str) -> str:
        """This server's URL, leading through the proxy."""
        parts = urlsplit(url)
        credentials, _, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{self.port}"))

    def delay(self, seconds: float) -> None:
        """Each piece of data takes so long, either way."""
        self._set(delay_seconds=seconds)

    def cut_after(self, count: int) -> None:
        """Reset the connection on which the count-th byte from now would pass, in the middle of whatever it is."""
        self._set(bytes_left=count)

    def cut_at(self, word: bytes, *, passes: bool, times: int = 1) -> None:
        """
        Reset the connection on which the client says this word.

        :param passes: whether the server still hears it; then its answer is what is lost
        """
        self._set(word=word, word_passes=passes, cuts_left=times)

    def reset(self) -> None:
        """Reset all connections that stand."""
        self._call(self._reset_all())

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing passes, and every connection stands, until the end of the block."""
        self._do(self._weather.flows.clear)
        try:
            yield
        finally:
            self._do(self._weather.flows.set)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """All connections are reset, and new ones at once, until the end of the block."""
        self._set(refuses=True)
        self.reset()
        try:
            yield
        finally:
            self._set(refuses=False)

    def close(self) -> None:
        self._do(self._server.close)
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._weather.refuses:
                _reset(writer)
                return
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            return
        else:
            self._writers.add(server_writer)
            up = asyncio.create_task(self._pump(reader, server_writer, from_client=True))
            down = asyncio.create_task(self._pump(server_reader, writer, from_client=False))
            done, rest = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            ends = (writer, server_writer)
            if any(isinstance(task.exception(), Cut) for task in done):
                self.cuts += 1
                # The server's end closes in peace: what has passed must reach it.
                _reset(writer)
            for end in ends:
                end.close()
            self._writers -= set(ends)
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        while chunk := await reader.read(CHUNK):
            weather = self._weather
            if weather.delay_seconds:
                await asyncio.sleep(weather.delay_seconds)
            await weather.flows.wait()
            passing, cut = self._passing(chunk, from_client=from_client)
            writer.write(passing)
            await writer.drain()
            if cut:
                raise Cut

    def _passing(self, chunk: bytes, *, from_client: bool) -> tuple[bytes, bool]:
        """What of it passes, and whether the connection ends behind that."""
        weather = self._weather
        if weather.bytes_left is not None:
            weather.bytes_left -= len(chunk)
            if weather.bytes_left <= 0:
                passing, weather.bytes_left = chunk[: weather.bytes_left or None], None
                return passing, True
        if from_client and weather.cuts_left and weather.word in chunk:
            weather.cuts_left -= 1
            return (chunk if weather.word_passes else b""), True
        return chunk, False

    async def _reset_all(self) -> None:
        for writer in [*self._writers]:
            _reset(writer)

    def _set(self, **weather: Any) -> None:
        def change() -> None:
            for name, value in weather.items():
                setattr(self._weather, name, value)

        self._do(change)

    def _do(self, change: Callable[[], object]) -> None:
        async def work() -> None:
            change()

        self._call(work())

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _reset(writer: asyncio.StreamWriter) -> None:
    ours = writer.get_extra_info("socket")
    if ours is not None and ours.fileno() >= 0:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
