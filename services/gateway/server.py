"""
nameko's web server, made fit for strangers, and its entrypoint, which hands every request to one WSGI app.

nameko would start a worker for each request, which costs as much as all of Flask. Here the green thread of the
connection calls the app itself; nameko still makes the app's dependencies, starts them, and stops them after the last
answer.
"""

import errno
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import eventlet
from eventlet import greenio, wsgi
from eventlet.semaphore import Semaphore
from nameko import containers, extensions
from nameko.web import server as nameko_server

from services.gateway import protocol
from shared import config, logs

log = logs.logger(__name__)

URL_BYTES = 8192
BACKLOG = 1024
LET_IN_AT_ONCE = 4  # each keeps the others waiting for half a millisecond
SEND_BYTES = 131_072  # by itself the kernel would keep megabytes for each client that does not read
LOOK_SECONDS = 0.05
REST_SECONDS = 1.0  # a connection that has been silent for so long is given up where others need its room
DRAIN_SECONDS = 13.0  # more than the longest request takes, and less than the process has for its whole stop
OUT_OF_SOCKETS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Application = Callable[..., Iterable[bytes]]
Method = TypeVar("Method", bound=Callable[..., Any])


class WebServer(nameko_server.WebServer):  # type: ignore[misc]
    """Serves the app of its one provider, within the limits of the gateway's settings."""

    def __init__(self) -> None:
        super().__init__()
        self._room: Semaphore
        # By themselves, not by address: a client who broke off may be back from the same port while we still work.
        self._connections: dict[int, protocol.Connection] = {}
        self._waiting: tuple[Any, Any] | None = None  # a client who was accepted when there was no room

    @property
    def settings(self) -> Any:
        return self.container.config["gateway"]

    @property
    def bind_addr(self) -> tuple[str, int]:
        return self.settings.host, self.settings.port

    def start(self) -> None:
        """If the address is taken, or not ours, the process ends."""
        try:
            super().start()
        except OSError as error:
            place = f"{self.settings.host}:{self.settings.port}"
            reason = config.BadConfiguration(
                f"CHATNESS_HOST, CHATNESS_PORT: no listening on {place}: {error.strerror}"
            )
            # Not raised: eventlet would print a traceback for each green thread that waits for this one.
            eventlet.spawn_n(self.container.kill, (type(reason), reason, None))

    def get_wsgi_app(self) -> Application:
        (site,) = self._providers
        app: Application = site.make_app()
        return app

    def get_wsgi_server(self, sock: Any, wsgi_app: Application) -> wsgi.Server:
        self._room = Semaphore(self.settings.connections)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        sock.listen(BACKLOG)  # nameko's 50 make a burst of clients wait a second for their next attempt
        server = wsgi.Server(
            sock,
            sock.getsockname(),
            wsgi_app,
            protocol=protocol.Protocol,
            log_output=False,
            debug=False,
            keepalive=self.settings.idle_seconds,
            socket_timeout=self.settings.socket_seconds,
            url_length_limit=URL_BYTES,
        )
        server.public_url = self.settings.public_url
        return server

    def run(self) -> None:
        """
        Accept while there is room. Who comes when there is none waits here, and those behind in the kernel.

        Of a crowd a few are let in at a time, and between them everybody else has a turn.
        """
        accepted = 0
        while self._is_accepting:
            try:
                self._waiting = self._sock.accept()
            except OSError as error:
                self._rest_after(error)
            else:
                while not self._room.acquire(timeout=LOOK_SECONDS):
                    self._close_who_rests_longest()
                self._spawn(*self._waiting)
                self._waiting = None
                accepted += 1
                if accepted % LET_IN_AT_ONCE == 0:
                    eventlet.sleep(0)

    def _spawn(self, client: Any, address: Any) -> None:
        connection = protocol.Connection(address, client)
        self._connections[id(connection)] = connection
        self.container.spawn_managed_thread(partial(self._serve, connection), identifier="connection")

    def _close_who_rests_longest(self) -> None:
        """A client whose kept connection is closed between two requests connects again; one kept out cannot."""
        resting = [one for one in self._connections.values() if one.rests and one.age >= REST_SECONDS]
        if resting:
            _close(min(resting, key=lambda one: one.resting_since))

    def _rest_after(self, error: OSError) -> None:
        if error.errno not in OUT_OF_SOCKETS:
            raise error
        log.warning("no connection can be accepted", reason=error.strerror)
        eventlet.sleep(0.1)

    def _serve(self, connection: protocol.Connection) -> None:
        client = connection[1]
        client.settimeout(self.settings.socket_seconds)
        try:
            self._serv.process_request(connection)
        except OSError:
            pass  # the client went away
        except Exception:
            log.exception("connection failed")  # raised further it would end the process: so nameko has it
        finally:
            client.close()
            del self._connections[id(connection)]
            self._room.release()

    def drain(self) -> None:
        """
        Accept no more, close the connections at rest, and wait for the answers under way.

        Who has connected and not asked yet is given a moment to do so: no client asks twice on a new connection.
        """
        self._is_accepting = False
        self._gt.kill()
        self._accept_the_last()
        self._sock.close()
        self._serv.keepalive = False  # the answers from now on say `Connection: close`
        for connection in list(self._connections.values()):
            if connection.rests and connection.requests:
                _close(connection)
        self._await_answers(REST_SECONDS)
        for connection in list(self._connections.values()):
            if connection.rests:
                _close(connection)
        self._await_answers(DRAIN_SECONDS - REST_SECONDS)

    def _accept_the_last(self) -> None:
        """Those whom the kernel has connected already would be cut off with the listening socket."""
        if self._waiting:
            self._spawn(*self._waiting)  # one more than there is room for, this once
        with suppress(OSError):  # there is none left
            while self._room.acquire(blocking=False):
                client, address = self._sock.fd.accept()  # the green accept would wait for more
                self._spawn(greenio.GreenSocket(client), address)

    def _await_answers(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._connections and time.monotonic() < until:
            eventlet.sleep(0.02)


def _close(connection: protocol.Connection) -> None:
    connection[2] = wsgi.STATE_CLOSE
    greenio.shutdown_safe(connection[1])


class Site(extensions.Entrypoint):  # type: ignore[misc]
    """
    The entrypoint: the method it stands on is called once, when the service starts, and returns the WSGI app.

    Its `self` is the service with its dependencies, for as long as the service runs.
    """

    server = WebServer()
    app: Any = None

    def setup(self) -> None:
        self.server.register_provider(self)

    def stop(self) -> None:
        """Dependencies are stopped after this, so the answers under way still have them."""
        if self.app is not None and self.app.before_drain is not None:
            self.app.before_drain()
        self.server.drain()
        self.server.unregister_provider(self)

    def make_app(self) -> Application:
        service = self.container.service_cls()
        worker = containers.WorkerContext(self.container, service, self)
        for provider in self.container.dependencies:
            setattr(service, provider.attr_name, provider.get_dependency(worker))
        self.app = getattr(service, self.method_name)()
        app: Application = self.app
        return app


def site(method: Method) -> Method:
    """Serve the WSGI app that this method of a nameko service returns."""
    served: Method = Site.decorator(method)
    return served
