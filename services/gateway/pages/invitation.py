"""Where the link of an invitation leads: join with one's account, or open one and join."""

from typing import Any

import flask
from flask import g
from wtforms import HiddenField, PasswordField, StringField  # type: ignore[import-untyped]

from services.gateway.pages import forms, views
from services.gateway.pages.welcome import PASSWORD_HINT, needed
from shared import errors

pages = views.Pages("pages_invitation", __name__)

JOINED = "You have joined {name}."


class Join(forms.Form):
    token = HiddenField()


class JoinAsNew(Join):
    name = StringField("Your name", [needed], render_kw={"autocomplete": "name", "maxlength": 100})
    password = PasswordField(
        "Password", [needed], description=PASSWORD_HINT, render_kw={"autocomplete": "new-password"}
    )


@pages.view("/invitation", permission=views.ANYONE, methods=["GET", "POST"])
def accept_invitation() -> Any:
    """Looking changes nothing, since mail programs look; only the button joins."""
    token = flask.request.form.get("token") or flask.request.args.get("token", "")
    actor = views.visitor()
    try:
        invitation = g.services.accounts.get_invitation(token=token)
    except errors.Invalid:
        form = Join(formdata=None)
        return flask.render_template("pages/invitation.html", form=form, invitation=None), 422
    is_new = actor is None and not invitation["has_account"]
    form = (JoinAsNew if is_new else Join)(token=token)
    if form.is_sent:
        with form.refusals():
            return _join(form, actor, is_new)
    return forms.answer("pages/invitation.html", form, invitation=invitation, is_new=is_new, visitor=actor)


def _join(form: Any, actor: Any, is_new: bool) -> Any:
    if actor is not None:
        views.act_as(actor)
    named = {"name": form.name.data, "password": form.password.data} if is_new else {}
    accepted = g.services.accounts.accept_invitation(command_id=forms.command_id(), token=form.token.data, **named)
    said = JOINED.format(name=accepted["org"]["name"])
    flask.flash(f"{said} {'Switch to it below.' if actor else 'Sign in to begin.'}", "success")
    return views.see_other("/account/org" if actor else "/sign-in")
