"""The HTTP server: Stripe's API under /v1, the pages a person sees, and the knobs under /_sandbox."""

import logging
import socket
from typing import Any

import flask
import werkzeug.exceptions
import werkzeug.serving

from sandbox.stripe import api, errors, events, idempotency, knobs, pages
from sandbox.stripe.machine import Machine, Options
from sandbox.stripe.routes import Route
from sandbox.stripe.state import new_id

LARGEST_BODY_BYTES = 1_000_000
log = logging.getLogger(__name__)


def create_app(machine: Machine) -> flask.Flask:
    """The WSGI application; `machine.start()` makes time move and webhooks flow."""
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    for route in api.ROUTES:
        _serve(app, machine, route)
    app.register_blueprint(pages.blueprint(machine))
    app.register_blueprint(knobs.blueprint(machine))
    app.register_error_handler(404, _unknown)
    app.register_error_handler(405, _unknown)
    return app


def serve(sock: socket.socket, options: Options) -> None:
    """Serve until interrupted, a thread per connection, on a socket that is bound already."""
    machine = Machine(options)
    machine.start()
    host, port = sock.getsockname()[:2]
    server = werkzeug.serving.make_server(
        host,
        port,
        create_app(machine),
        threaded=True,
        request_handler=_QuietHandler,
        fd=sock.fileno(),
    )
    try:
        server.serve_forever(poll_interval=5)
    finally:
        machine.stop()
        server.server_close()


def _serve(app: flask.Flask, machine: Machine, route: Route) -> None:
    def view(**names: str) -> flask.Response:
        outcome = api.answer(machine, _call(route, names))
        if outcome.lost:
            flask.request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        response = flask.Response(outcome.answer.body, outcome.answer.status, mimetype="application/json")
        response.headers.update(_headers(outcome))
        return response

    endpoint = f"{route.method} {route.path}".replace(".", "_")
    app.add_url_rule(route.path, endpoint, view, methods=[route.method], provide_automatic_options=False)


def _call(route: Route, names: dict[str, str]) -> api.Call:
    request, is_post = flask.request, route.method == "POST"
    return api.Call(
        route=route,
        names=names,
        path=request.path,
        form=request.get_data(as_text=True) if is_post else request.query_string.decode(),
        authorization=request.headers.get("Authorization"),
        key=request.headers.get("Idempotency-Key") if is_post else None,
        version=request.headers.get("Stripe-Version"),
    )


def _headers(outcome: api.Outcome) -> dict[str, str]:
    request = flask.request
    headers = {
        "Request-Id": outcome.answer.request_id,
        "Stripe-Version": request.headers.get("Stripe-Version", events.API_VERSION),
        "Cache-Control": "no-cache, no-store",
    }
    if "Idempotency-Key" in request.headers:
        headers["Idempotency-Key"] = request.headers["Idempotency-Key"]
        headers["Original-Request"] = outcome.answer.request_id
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
        headers["Request-Id"] = new_id("req", 14)
    if outcome.answer.status == idempotency.KEPT_FAILURE:
        headers["Stripe-Should-Retry"] = "false"  # it would be the same again
    return {**headers, **outcome.headers}


def _unknown(problem: werkzeug.exceptions.HTTPException) -> Any:
    if not flask.request.path.startswith("/v1/"):
        return problem
    refusal = errors.unknown_address(flask.request.method, flask.request.path)
    request_id = new_id("req", 14)
    answer = api.refused(refusal, request_id)
    return flask.Response(answer.body, answer.status, headers={"Request-Id": request_id}, mimetype="application/json")


class _QuietHandler(werkzeug.serving.WSGIRequestHandler):
    """Addresses of pages are secrets, so requests are not logged; HTTP/1.1 keeps connections open."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        log.debug("%s answered %s with %s bytes", self.command, code, size)
