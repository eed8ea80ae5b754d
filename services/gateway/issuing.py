"""Making an API secret: the value is generated here, given out once, and only its fingerprint travels on."""

from typing import Any

import flask

from services.gateway import api_secret

HINT_LENGTH = 4


def issue(command_id: str, **wish: Any) -> dict[str, Any]:
    """
    :param wish: `name`, and `scopes` and `expires_at` where they are named
    :returns: the secret as the list shows it, and its value as `secret`
    :raises ServiceError: as `secrets.create_secret`
    """
    value = _fresh()
    made = flask.g.services.secrets.create_secret(command_id=command_id, **wish, **_traces(value))
    return {**made, "secret": value}


def rotate(command_id: str, *, secret_id: str, **wish: int) -> dict[str, Any]:
    """
    Another value for a secret; this process forgets at once what it knew of the one before.

    :param wish: `overlap_seconds` where it is named
    :returns: the secret as the list shows it, and its value as `secret`
    :raises ServiceError: as `secrets.rotate_secret`
    """
    value = _fresh()
    rotated = flask.g.services.secrets.rotate_secret(
        command_id=command_id, secret_id=secret_id, **wish, **_traces(value)
    )
    flask.g.authentication.forget_secret(secret_id)
    return {**rotated, "secret": value}


def _fresh() -> str:
    return api_secret.generate(flask.current_app.config["SETTINGS"].secret_mode)


def _traces(value: str) -> dict[str, str]:
    """What others are told of it."""
    hint = f"{value.rsplit('_', 1)[0]}_…{value[-HINT_LENGTH:]}"
    return {"sha256": api_secret.fingerprint(value), "hint": hint}
