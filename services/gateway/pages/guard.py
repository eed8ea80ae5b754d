"""
What keeps a page to the person it is for: forms that come from our own pages, headers that let nothing foreign in,
and a way back that leads nowhere else.
"""

import hashlib
import hmac
import re
from urllib.parse import urlsplit

import flask
from flask import sessions
from flask_wtf import csrf  # type: ignore[import-untyped]
from wtforms import ValidationError  # type: ignore[import-untyped]

from services.gateway import bodies, problems, routing
from services.gateway.pages import cookies
from services.gateway.settings import Settings

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    # The origin alone: a path would give a mailed token away, and without any the browser calls a form's origin null.
    "Referrer-Policy": "strict-origin",
}
FORM = "application/x-www-form-urlencoded"
FORM_WITH_FILE = "multipart/form-data"

_LABEL = b"chatness page forms"
_OURS = {"same-origin", "none"}
_PATH = re.compile(r"/(?![/\\])[!-~]{0,1000}")


class Sessions(sessions.SecureCookieSessionInterface):
    """Flask's session, which holds what a form is compared with and what is said once. The API has none."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> sessions.SecureCookieSession | None:
        return None if request.path.startswith("/v1/") else super().open_session(app, request)


def configure(app: flask.Flask, settings: Settings) -> None:
    """Sign forms and the cookie that they are compared with."""
    app.session_interface = Sessions()
    app.secret_key = hmac.digest(settings.cursor_key, _LABEL, hashlib.sha256)
    app.config.update(
        SESSION_COOKIE_NAME=cookies.named("chatness_form", settings),
        SESSION_COOKIE_SECURE=cookies.is_secure(settings),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,  # a form is good as long as the browser's session: people take their time
    )


def read_form(*, file_bytes: int = 0) -> None:
    """
    Let in a form that one of our own pages sent.

    :param file_bytes: how large a file it may carry
    :raises Problem: 403 `foreign_form` or `unsigned_form`, 415 `unsupported_media_type`, and as any body
    """
    check_origin()
    if flask.request.mimetype != (FORM_WITH_FILE if file_bytes else FORM):
        detail = "A form is sent url-encoded; one with a file, as multipart/form-data."
        raise problems.Problem(status=415, code="unsupported_media_type", detail=detail)
    if file_bytes:
        flask.request.max_content_length = file_bytes + flask.current_app.config["SETTINGS"].body_bytes
    routing.read_body(keep=True)
    form = flask.request.form
    bodies.check_text(form.to_dict(flat=False))
    try:
        csrf.validate_csrf(form.get("csrf_token"))
    except ValidationError as error:
        detail = "This page had been open for too long, or your browser keeps no cookies. Nothing has been changed."
        raise problems.Problem(status=403, code="unsigned_form", detail=detail) from error
    flask.g.csrf_valid = True  # Flask-WTF need not look again


def check_origin() -> None:
    """
    By what the browser says of the page that sends it; an older one says only the origin.

    :raises Problem: 403 `foreign_form`
    """
    site = flask.request.headers.get("Sec-Fetch-Site")
    if site is not None:
        is_ours = site in _OURS
    else:
        public = urlsplit(flask.current_app.config["SETTINGS"].public_url)
        origin = flask.request.headers.get("Origin")
        is_ours = origin is None or origin == f"{public.scheme}://{public.netloc}"
    if not is_ours:
        detail = "This form was sent from another site. Nothing has been changed."
        raise problems.Problem(status=403, code="foreign_form", detail=detail)


def harden(response: flask.Response) -> flask.Response:
    for header, value in HEADERS.items():
        response.headers.setdefault(header, value)
    return response


def way_back(wanted: str | None) -> str:
    """Where to go after signing in: a path of ours, or home."""
    return wanted if wanted and _PATH.fullmatch(wanted) else "/"
