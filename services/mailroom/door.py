"""
The SMTP server: who may come in, how often, how much and for how long. What becomes of a mail is for `room`.

It takes mail for the one mailbox, so it can relay nothing, and refuses during the conversation, so it never bounces.
"""

import asyncio
import logging
import signal
import ssl
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from services.mailroom.settings import Settings
from shared import config, logs

THREADS = 8
STOP_SECONDS = 15.0
COMMANDS_EACH = 200  # of one kind in one conversation
LONGEST_LINE_BYTES = 64_000
LATER = "451 4.3.0 Something went wrong; try again later"
log = logs.logger(__name__)

Receive = Callable[..., str]
"""(mail, envelope_sender=…, peer=…): the reply. See `room.Room.receive`."""


class Gate:
    """Counts, in the one thread of the event loop."""

    def __init__(self, *, connections: int, mails_per_minute: int) -> None:
        self.connections, self.mails_per_minute = connections, mails_per_minute
        self.open = 0
        self._minute, self._mails = 0, Counter[str]()

    def come_in(self) -> bool:
        self.open += 1
        return self.open <= self.connections

    def leave(self) -> None:
        self.open -= 1

    def may_send(self, peer: str, *, now: float) -> bool:
        if int(now // 60) != self._minute:
            self._minute, self._mails = int(now // 60), Counter()
        self._mails[peer] += 1
        return self._mails[peer] <= self.mails_per_minute


class Handler:
    """aiosmtpd's hooks. :raises BadConfiguration: see `tls`"""

    def __init__(self, settings: Settings, receive: Receive) -> None:
        self._settings, self._tls = settings, tls(settings)
        self.mailbox = settings.support_address.lower()
        self.receive = receive
        self.gate = Gate(connections=settings.connections, mails_per_minute=settings.mails_per_minute)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mailroom")
        self.under_way = 0

    def tls(self) -> ssl.SSLContext | None:
        """As the files are now, so that a renewed certificate needs no restart; or as they were when last good."""
        try:
            self._tls = tls(self._settings)
        except config.BadConfiguration as error:
            log.error("certificate not read", reason=str(error))
        return self._tls

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self.gate.may_send(peer_of(session), now=time.monotonic()):
            return "450 4.7.1 Too many mails; try again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.lower() != self.mailbox:
            return "550 5.7.1 No such mailbox here"
        envelope.rcpt_tos[:] = [address]
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        mail = bytes(envelope.original_content or b"")
        if not mail.count(b"\r") == mail.count(b"\n") == mail.count(b"\r\n"):
            # It could not be passed on unchanged, and mean two mails to the next server (RFC 5321, section 2.3.8).
            return "550 5.6.0 A line ends with CR LF, and neither stands alone"
        sender = envelope.mail_from or ""
        deal = partial(self.receive, mail, envelope_sender=sender.strip("<>"), peer=peer_of(session))
        self.under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, deal)
        except Exception as error:
            log.error("mailroom failed", exc_info=error)
            return LATER
        finally:
            self.under_way -= 1

    async def handle_exception(self, error: Exception) -> str:
        """Of aiosmtpd itself, as it reads the commands."""
        log.error("mailroom failed", exc_info=error)
        return LATER


class Conversation(SMTP):
    """aiosmtpd's, but that it is refused where too many are open."""

    line_length_limit = LONGEST_LINE_BYTES  # programs write lines of more than the 998 bytes that they may

    def __init__(self, handler: Handler, settings: Settings) -> None:
        super().__init__(
            handler,
            data_size_limit=settings.max_bytes,
            hostname=settings.support_address.rpartition("@")[2],
            ident="mailroom",
            tls_context=handler.tls(),
            require_starttls=settings.tls_certificate is not None,
            timeout=float(settings.idle_seconds),
            command_call_limit=COMMANDS_EACH,
        )
        self._gate = handler.gate
        self._gone = False

    def connection_made(self, transport: Any) -> None:
        encrypted = self._original_transport is not None  # told a second time, of the same connection
        allowed = encrypted or self._gate.come_in()
        super().connection_made(transport)
        if not allowed and self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            transport.write(b"421 4.3.2 Too many at once; try again later\r\n")
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._gone:
            self._gone = True
            self._gate.leave()
            super().connection_lost(error)

    def _timeout_cb(self) -> None:
        """Of the end of a connection in the middle of STARTTLS asyncio would tell nobody."""
        super()._timeout_cb()  # type: ignore[no-untyped-call]
        if self._original_transport is not None and self.session is not None and self.session.ssl is None:
            self._original_transport.close()
            self.connection_lost(TimeoutError("STARTTLS took too long"))


def tls(settings: Settings) -> ssl.SSLContext | None:
    """
    What STARTTLS is done with; None where it is not offered.

    :raises BadConfiguration: if certificate and key cannot be read, or do not belong together
    """
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise config.BadConfiguration(f"MAILROOM_TLS_CERTIFICATE, MAILROOM_TLS_KEY: {reason}") from None
    return context


def _no_password() -> str:
    """Asked for, OpenSSL would ask the terminal."""
    return ""


def peer_of(session: Session) -> str:
    return str(session.peer[0]) if session.peer else ""


def run(settings: Settings, receive: Receive, *, listening: Callable[[bool], None]) -> None:
    """
    Take mail until SIGTERM or SIGINT; then finish what is under way, for 15 seconds at most.

    :param listening: is told when the door opens and when it closes
    :raises BadConfiguration: if the port is taken, or the address not ours
    """
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd's: every line of a conversation
    asyncio.run(_run(settings, receive, listening))


async def _run(settings: Settings, receive: Receive, listening: Callable[[bool], None]) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    handler = Handler(settings, receive)
    try:
        server = await loop.create_server(partial(Conversation, handler, settings), settings.host, settings.port)
    except OSError as error:
        raise config.BadConfiguration(
            f"MAILROOM_HOST, MAILROOM_PORT: no listening on {settings.host}:{settings.port}: {error.strerror}"
        ) from None
    listening(True)
    await stopping.wait()
    listening(False)
    server.close()
    until = loop.time() + STOP_SECONDS
    while handler.under_way and loop.time() < until:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)  # for the last reply to leave
    handler.threads.shutdown(wait=False, cancel_futures=True)
    log.info("stopped")
