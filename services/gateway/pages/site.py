"""The page, put together: its groups of views, its files, and what its templates know."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import flask
import flask_bootstrap  # type: ignore[import-untyped]
import flask_compress
from flask_wtf import csrf  # type: ignore[import-untyped]

from services.gateway.pages import (
    account,
    activity,
    billing,
    bots,
    credentials,
    failures,
    forms,
    guard,
    invitation,
    leaving,
    org,
    picture,
    secrets,
    shell,
    usage,
    welcome,
    words,
)
from services.gateway.settings import Settings

GROUPS = [
    one.pages
    for one in (
        welcome,
        invitation,
        bots,
        usage,
        account,
        picture,
        credentials,
        org,
        activity,
        leaving,
        billing,
        secrets,
    )
]
FILES = {"static", "bootstrap.static"}
A_YEAR_SECONDS = 365 * 24 * 3600


def install(app: flask.Flask, settings: Settings) -> None:
    guard.configure(app, settings)
    app.config.update(
        SEND_FILE_MAX_AGE_DEFAULT=A_YEAR_SECONDS,  # the address of a file changes with what is in it
        BOOTSTRAP_SERVE_LOCAL=True,
        # Not the pages: how far a page shrinks would tell what in it is like something that an attacker put there.
        COMPRESS_MIMETYPES=["text/css", "text/javascript", "image/svg+xml"],
        COMPRESS_STREAMING_ENDPOINT_CONDITIONAL=sorted(FILES),
        COMPRESS_REGISTER=False,
    )
    flask_bootstrap.Bootstrap5(app)
    compress = flask_compress.Compress(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(words.filters())
    app.jinja_env.globals.update(
        file_url=file_url, around=shell.around, csrf_token=csrf.generate_csrf, new_command_id=forms.new_command_id
    )
    for group in GROUPS:
        app.register_blueprint(group)

    @app.after_request
    def finish(response: flask.Response) -> flask.Response:
        if flask.request.endpoint in FILES:
            return compress.after_request(response)
        return guard.harden(response) if failures.concerns_a_page() else response


@functools.cache
def _mark(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def file_url(filename: str, *, endpoint: str = "static") -> str:
    """The address of a file, with a mark of what is in it."""
    app: Any = flask.current_app
    home = app if endpoint == "static" else app.blueprints["bootstrap"]
    return flask.url_for(endpoint, filename=filename, v=_mark(str(Path(home.static_folder) / filename)))
