"""People's pictures: set and taken away by themselves, and shown to whoever has the address."""

import base64
from typing import Any

import flask

from services.gateway import pictures, preconditions, routing
from services.gateway.routes.accounts import Account

routes = routing.Routes("pictures", "Pictures of people, used system-wide and in conversations.")

# Whatever it is taken for, it runs nothing and fetches nothing; and any page may show it, as conversations do.
PICTURE_HEADERS = {
    "Cache-Control": "no-cache",  # asked for each time, so that it is gone at once; what is known costs no bytes
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": 'inline; filename="picture.webp"',
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@routes.operation(
    "PUT",
    "/v1/account/picture",
    permission="account:manage",
    takes=pictures.MEDIA_TYPES,
    body_bytes=pictures.MOST_BYTES,
    answers={200: Account},
    refusals={
        "not_a_picture": 422,
        "broken_picture": 422,
        "too_many_pixels": 422,
        "picture_too_costly": 422,
        "unknown_account": 404,
        "busy": 503,
        **routing.COMMAND,
    },
    tagged=True,
    conditional=True,
)
def set_picture() -> Any:
    """
    Set one's picture, instead of the one before: JPEG, PNG or WebP, up to 5 MiB and 16 million pixels.

    It is turned upright, made to fit 512 by 512 pixels, and kept as WebP; where and with what it was taken is not
    kept. Its address, `picture_url`, is public, cannot be guessed, and dies with it. The same picture again changes
    nothing.
    """
    services = flask.g.services
    with services.pictures.place(routing.actor().id):
        return pictures.give(services, routing.read_body(), command_id=routing.command_id())


@routes.operation(
    "DELETE",
    "/v1/account/picture",
    permission="account:manage",
    answers={204: None},
    refusals={"no_picture": 404, "unknown_account": 404, **routing.COMMAND},
    conditional=True,
)
def remove_picture() -> None:
    """Take one's picture away. Its address is dead at once."""
    flask.g.services.accounts.remove_picture(command_id=routing.command_id())


@routes.operation(
    "GET",
    "/v1/pictures/<key>",
    permission=routing.ANYONE,
    answers={200: None},
    refusals={"unknown_picture": 404},
    tagged=True,
    produces=(pictures.MADE,),
)
def get_picture(key: str) -> flask.Response:
    """
    Show a picture by its address.

    What was replaced or removed, or whose person is gone, answers as what never was.
    """
    known = preconditions.known()
    found = flask.g.services.accounts.get_picture(key=key, known=known)
    headers = {**PICTURE_HEADERS, "ETag": f'"{found["revision"]}"'}
    if found["webp"] is None:
        return flask.Response(status=304, headers=headers)
    return flask.Response(base64.b64decode(found["webp"]), headers=headers, content_type=pictures.MADE)
