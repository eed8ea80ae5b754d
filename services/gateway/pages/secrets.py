"""
API Secrets: the list, a new one, another value for one, and the end of one.

A value stands in the answer to its form and nowhere else: no address, no cookie, no cache. A form
that is sent again makes no other one.
"""

from datetime import date
from typing import Any

import flask
from flask import g
from wtforms import (  # type: ignore[import-untyped]
    DateField,
    SelectField,
    SelectMultipleField,
    StringField,
    validators,
    widgets,
)

from services.gateway import issuing
from services.gateway.pages import forms, shell, views, words
from services.gateway.pages.welcome import needed
from shared import context, errors

pages = views.Pages("pages_secrets", __name__)

MOST_SHOWN = 100
MOST_MEMBERS = 100


def _at_least_one(_form: forms.Form, field: Any) -> None:
    """WTForms' own would have the browser ask for every one of the boxes."""
    if not field.data:
        raise validators.ValidationError("Choose at least one.")


class NewSecret(forms.Form):
    name = StringField(
        "Name", [needed], description="Where it will be used.", render_kw={"maxlength": 100, "autocomplete": "off"}
    )
    scopes = SelectMultipleField(
        "What it may do",
        [_at_least_one],
        choices=list(words.SCOPES.items()),
        default=["messages:write"],
        option_widget=widgets.CheckboxInput(),
        widget=widgets.ListWidget(prefix_label=False),
    )
    expires_at = DateField(
        "Expires after",
        [validators.Optional()],
        description="The last day on which it is good, in UTC. Empty: never.",
    )

    @property
    def expiry(self) -> str | None:
        """The last second of the day."""
        last: date | None = self.expires_at.data
        return f"{last.isoformat()}T23:59:59Z" if last else None


class Rotation(forms.Form):
    overlap_seconds = SelectField(
        "The present value works for",
        choices=[
            (0, "not a moment more"),
            (3600, "one more hour"),
            (86_400, "one more day"),
            (604_800, "seven more days"),
        ],
        coerce=int,
        default=86_400,
    )


@pages.view("/secrets", permission="secrets:list")
def list_secrets() -> Any:
    return _list(NewSecret())


def _list(form: NewSecret) -> Any:
    actor = context.current().actor
    found = g.services.secrets.list_newest(limit=MOST_SHOWN)
    members = _members()
    for secret in found["active"] + found["others"]:
        secret["may_change"] = actor.role == "owner" or secret["made_by"] == actor.id
        secret["maker"] = maker(secret["made_by"], own_id=actor.id, members=members)
    return forms.answer("pages/secrets/list.html", form, most=MOST_SHOWN, **found)


def _members() -> list[dict[str, Any]] | None:
    """None while accounts is away: the secrets are shown without the names of who made them."""
    accounts = g.services.accounts.with_timeout(shell.LOOK_SECONDS)
    try:
        found: list[dict[str, Any]] = accounts.list_members(limit=MOST_MEMBERS)
    except errors.ServiceError:
        return None
    return found


def maker(made_by: str, *, own_id: str, members: list[dict[str, Any]] | None) -> str:
    """Who made a secret; empty where that is not known."""
    if made_by == own_id:
        return "you"
    if members is None:
        return ""
    names = {member["account_id"]: str(member["name"]) for member in members}
    unknown = "a former member" if len(members) < MOST_MEMBERS else "another member"
    return names.get(made_by, unknown)


@pages.view("/secrets", permission="secrets:add", methods=["POST"])
def add_secret() -> Any:
    form = NewSecret()
    if form.is_sent:
        with form.refusals():
            made = issuing.issue(
                forms.command_id(), name=form.name.data, scopes=form.scopes.data, expires_at=form.expiry
            )
            return flask.render_template("pages/secrets/shown.html", made=made)
    if form.code == "secret_already_created":
        return flask.render_template("pages/secrets/already_shown.html"), 409
    return _list(form)


@pages.view("/secrets/<secret_id>/rotate", permission="secrets:rotate")
def ask_for_rotation(secret_id: str) -> Any:
    return _rotation(Rotation(), secret_id)


@pages.view("/secrets/<secret_id>/rotate", permission="secrets:rotate", methods=["POST"])
def rotate_secret(secret_id: str) -> Any:
    form = Rotation()
    if form.is_sent:
        with form.refusals():
            overlap = form.overlap_seconds.data
            made = issuing.rotate(forms.command_id(), secret_id=secret_id, overlap_seconds=overlap)
            return flask.render_template("pages/secrets/shown.html", made=made)
    if form.code == "secret_already_rotated":
        return flask.render_template("pages/secrets/already_shown.html"), 409
    return _rotation(form, secret_id)


def _rotation(form: Rotation, secret_id: str) -> Any:
    secret = g.services.secrets.get_secret(secret_id=secret_id)
    return forms.answer("pages/secrets/rotate.html", form, secret=secret)


@pages.view("/secrets/<secret_id>/revoke", permission="secrets:revoke")
def confirm_revocation(secret_id: str) -> str:
    secret = g.services.secrets.get_secret(secret_id=secret_id)
    return flask.render_template("pages/secrets/revoke.html", secret=secret)


@pages.view("/secrets/<secret_id>/revoke", permission="secrets:revoke", methods=["POST"])
def revoke_secret(secret_id: str) -> Any:
    with forms.Flashed("The secret is revoked. It is refused from now on."):
        g.services.secrets.revoke_secret(command_id=forms.command_id(), secret_id=secret_id)
        g.authentication.revoke_secret(secret_id)
    return views.see_other("/secrets")
