"""
A body in chunks (RFC 9112, 7.1), read strictly. eventlet's own reader takes `+5` or `0x5` for a length, where another
server sees something else, and keeps as much of an endless line as memory holds.
"""

import re
from collections.abc import Callable
from typing import Any

from eventlet import wsgi

SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
LINE_BYTES = 1024
TRAILERS = 32
PART_BYTES = 65_536


class Input(wsgi.Input):  # type: ignore[misc]
    """The body of a request, as eventlet gives it to the app."""

    position: int
    chunk_length: int  # -1 before the first chunk
    on_failure: Callable[[], None]

    @classmethod
    def instead_of(cls, body: wsgi.Input, *, on_failure: Callable[[], None]) -> "Input":
        """:param on_failure: called where nobody knows any more where the next request begins"""
        made = cls(
            body.rfile,
            body.content_length,
            body.get_socket(),
            wfile=body.wfile,
            wfile_line=body.wfile_line,
            chunked_input=True,
        )
        made.on_failure = on_failure
        return made

    def _chunked_read(self, _rfile: Any, length: int | None = None, _use_readline: bool = False) -> bytes:
        """
        As many bytes as asked for, or all; fewer at the end.

        :raises ChunkReadError: if it is not certain how the body goes on
        """
        if self.should_send_hundred_continue:
            self.send_hundred_continue_response()
            self.is_hundred_continue_response_sent = True
        wanted = -1 if length is None else length
        read: list[bytes] = []
        while wanted and self._has_more():
            left = self.chunk_length - self.position
            part = self.rfile.read(min(left, PART_BYTES if wanted < 0 else wanted))
            self._advance(part)
            read.append(part)
            wanted -= len(part) if wanted > 0 else 0
        return b"".join(read)

    def _has_more(self) -> bool:
        """Whether a chunk has bytes left; the next one is begun where there is none."""
        if self.chunk_length == -1 or (self.chunk_length and self.position == self.chunk_length):
            size = SIZE.fullmatch(self._line())
            if size is None:
                raise self._failure("a chunk has no size")
            self.position, self.chunk_length = 0, int(size[1], 16)
            if self.chunk_length == 0:
                self._skip_trailers()
        return bool(self.chunk_length)

    def _advance(self, part: bytes) -> None:
        if not part:
            raise self._failure("the body broke off")
        self.position += len(part)
        if self.position == self.chunk_length and self.rfile.read(2) != b"\r\n":
            raise self._failure("a chunk is longer than its size")

    def _skip_trailers(self) -> None:
        for _ in range(TRAILERS):
            if self._line() == b"\r\n":
                return
        raise self._failure("there are too many trailers")

    def _line(self) -> bytes:
        line: bytes = self.rfile.readline(LINE_BYTES)
        if not line.endswith(b"\r\n"):
            raise self._failure("a line is too long, or has no end")
        return line

    def _failure(self, fault: str) -> wsgi.ChunkReadError:
        self.chunk_length = 0  # nothing more is read of it
        self.on_failure()
        return wsgi.ChunkReadError(fault)
