"""
The session's cookie. Only the page reads it: were it good for `/v1`, the API would need protection from forged forms.

On https its name begins with `__Host-`, so that no neighbouring host can plant one.
"""

import flask
import werkzeug

from services.gateway.settings import Settings

MAX_AGE_SECONDS = 30 * 24 * 3600  # as long as a session can last; accounts says when it has ended


def name(settings: Settings) -> str:
    return named("chatness_session", settings)


def named(plain: str, settings: Settings) -> str:
    """The name of a cookie that only this host can have set."""
    return f"__Host-{plain}" if is_secure(settings) else plain


def is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")


def token() -> str | None:
    """The session token that came with the request."""
    return flask.request.cookies.get(name(_settings()))


def keep(response: werkzeug.Response, token: str) -> None:
    settings = _settings()
    response.set_cookie(
        name(settings),
        token,
        max_age=MAX_AGE_SECONDS,
        secure=is_secure(settings),
        httponly=True,
        samesite="Lax",  # Strict would have a person come back from Checkout signed out
    )


def drop(response: werkzeug.Response) -> None:
    settings = _settings()
    response.delete_cookie(name(settings), secure=is_secure(settings), httponly=True, samesite="Lax")


def _settings() -> Settings:
    settings: Settings = flask.current_app.config["SETTINGS"]
    return settings
