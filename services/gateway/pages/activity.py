"""Your Account, Org, Activity: who did what, when and with what, for the owner."""

from typing import Any

import flask
from flask import g

from services.gateway import activity, pagination
from services.gateway.pages import happenings, views
from shared import context

pages = views.Pages("pages_activity", __name__)

AT_ONCE = 50
LONGEST_CURSOR = 1000


@pages.view("/account/activity", permission="activity:read")
def show_activity() -> str:
    cursor = flask.request.args.get("cursor", "")
    if len(cursor) > LONGEST_CURSOR:
        raise pagination.invalid_cursor()
    rows, place = activity.page(g.services, before=pagination.position({"cursor": cursor}) or None, limit=AT_ONCE)
    page = pagination.page([line(row) for row in rows], next_position=place)
    return flask.render_template(
        "pages/account/activity.html", rows=page["data"], cursor=cursor, next_cursor=page["next_cursor"]
    )


def line(row: dict[str, Any]) -> dict[str, str]:
    """What the page shows of a row."""
    own_id = context.current().actor.id
    return {
        "id": row["id"],
        "at": row["at"],
        "said": happenings.sentence(row),
        "doer": happenings.doer(row["actor"], own_id=own_id),
    }
