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
    value = api_secret.generate(flask.current_app.config["SETTINGS"].secret_mode)
    made = flask.g.services.secrets.create_secret(
        command_id=command_id,
        **wish,
        sha256=api_secret.fingerprint(value),
        hint=f"{value.rsplit('_', 1)[0]}_…{value[-HINT_LENGTH:]}",
    )
    return {**made, "secret": value}
