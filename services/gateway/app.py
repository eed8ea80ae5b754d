"""The Flask app: routes, refusals and their description, put together."""

import io
from collections.abc import Callable, Iterable
from typing import Any

import flask
import flask_smorest  # type: ignore[import-untyped]
import werkzeug
from werkzeug import exceptions
from werkzeug.routing import BaseConverter

from services.gateway import authentication, description, documentation, edge, problems, routing, settings
from services.gateway.pages import failures, site

VERSION = "1"
ABOUT = """\
JSON in UTF-8. A refusal is a problem document (RFC 9457) whose `code` is for programs; its `type` explains it. What
is not yours answers 404, the same as what does not exist. A method that a route does not have is 405, with `Allow`.

`Idempotency-Key` is honoured wherever something changes; a preview and a webhook do not need it. A refusal is not
remembered. The values of secrets and sessions are not kept: asked again with the same key, they are refused with 409.
Requests without a token have one set of keys together, so let them be random.

A resource carries an `ETag`; with `If-Match` it is changed only if it still has that one. Other headers than those
named here, and parameters of the query where a route has none, are ignored.
"""


class TokenConverter(BaseConverter):
    """A path parameter is an id; whatever else stands there is no route, and reaches no service."""

    regex = "[A-Za-z0-9_-]{1,64}"


class Request(flask.Request):
    def _get_file_stream(self, *_args: Any, **_options: Any) -> io.BytesIO:
        """Where a form's file is kept: werkzeug would write a large one to the disk."""
        return io.BytesIO()


class App(flask.Flask):
    """:ivar before_drain: called when the process is about to stop: what would never end is to end now"""

    request_class = Request
    before_drain: Callable[[], None] | None = None

    def make_default_options_response(self) -> flask.Response:
        """To OPTIONS, whose answer Flask would call an HTML page."""
        methods = super().make_default_options_response().allow
        return flask.Response(status=204, headers={"Allow": ", ".join(sorted(methods))})


class Api(flask_smorest.Api):  # type: ignore[misc]
    DEFAULT_ERROR_RESPONSE_NAME = None  # every route names its refusals itself


def create(
    settings: settings.Settings,
    *,
    services: Any,
    authentication: authentication.Authentication,
    groups: Iterable[routing.Routes],
) -> App:
    """
    :param services: has the RPC clients `accounts`, `billing`, `secrets` and `quota`; views find it as `g.services`
    """
    app = App(__name__)
    app.config.update(
        SETTINGS=settings,
        MAX_CONTENT_LENGTH=settings.body_bytes,
        MAX_FORM_PARTS=10,
        API_TITLE="Chatness",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={"info": {"description": ABOUT}, "servers": [{"url": settings.public_url}]},
    )
    app.url_map.converters["default"] = TokenConverter
    app.url_map.merge_slashes = False  # a redirect would name the Host that the client made up

    @app.before_request
    def open_request() -> None:
        if flask.request.environ["PATH_INFO"].startswith("//"):
            raise exceptions.NotFound  # werkzeug would strip them
        if flask.request.url_rule is not None:
            flask.request.environ[edge.ROUTE] = flask.request.url_rule.rule
        flask.g.services = services
        flask.g.authentication = authentication

    api = Api(app)
    api.register_converter(
        TokenConverter, lambda _converter: {"type": "string", "pattern": description.TOKEN_PATTERN}
    )
    api.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for group in groups:
        api.register_blueprint(group)
    app.register_blueprint(documentation.pages(api.spec))

    site.install(app, settings)
    _answer_problems(app, settings.public_url)
    app.wsgi_app = edge.Edge(  # type: ignore[method-assign]
        app.wsgi_app, request_seconds=settings.request_seconds, proxies=settings.proxies
    )
    return app


def _answer_problems(app: flask.Flask, public_url: str) -> None:
    def answer(exception: Exception) -> werkzeug.Response:
        problem = problems.from_exception(exception)
        if failures.concerns_a_page():
            return failures.page(problem)
        return problems.response(problem, public_url=public_url)

    app.register_error_handler(Exception, answer)
    app.register_error_handler(exceptions.HTTPException, answer)  # flask-smorest set its own for these
