"""The Flask app: routes, refusals and their description, put together."""

from collections.abc import Iterable
from typing import Any

import flask
import flask_smorest  # type: ignore[import-untyped]
import werkzeug
from werkzeug import exceptions
from werkzeug.routing import BaseConverter

from services.gateway import authentication, documentation, edge, problems, routing, settings

VERSION = "1"


class TokenConverter(BaseConverter):
    """A path parameter is an id; whatever else stands there is no route, and reaches no service."""

    regex = "[A-Za-z0-9_-]{1,64}"


class Api(flask_smorest.Api):  # type: ignore[misc]
    DEFAULT_ERROR_RESPONSE_NAME = None  # every route names its refusals itself


def create(
    settings: settings.Settings,
    *,
    services: Any,
    authentication: authentication.Authentication,
    groups: Iterable[routing.Routes],
) -> flask.Flask:
    """
    :param services: has the RPC clients `accounts`, `billing`, `secrets` and `quota`; views find it as `g.services`
    """
    app = flask.Flask(__name__)
    app.config.update(
        SETTINGS=settings,
        MAX_CONTENT_LENGTH=settings.body_bytes,
        API_TITLE="Chatness",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
    )
    app.url_map.converters["default"] = TokenConverter

    @app.before_request
    def open_request() -> None:
        flask.g.services = services
        flask.g.authentication = authentication

    api = Api(app)
    api.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for group in groups:
        api.register_blueprint(group)
    app.register_blueprint(documentation.pages(api.spec))

    _answer_problems(app, settings.public_url)
    app.wsgi_app = edge.Edge(app.wsgi_app, request_seconds=settings.request_seconds)  # type: ignore[method-assign]
    return app


def _answer_problems(app: flask.Flask, public_url: str) -> None:
    def answer(exception: Exception) -> werkzeug.Response:
        return problems.response(problems.from_exception(exception), public_url=public_url)

    app.register_error_handler(Exception, answer)
    app.register_error_handler(exceptions.HTTPException, answer)  # flask-smorest set its own for these
