"""Leaving: the section of Your Account, and the pages to which the mailed links lead."""

from contextlib import suppress
from typing import Any

import flask
from flask import g
from wtforms import HiddenField, PasswordField  # type: ignore[import-untyped]

from services.gateway.pages import forms, views
from services.gateway.pages.welcome import needed
from shared import errors

pages = views.Pages("pages_leaving", __name__)

SUBJECT = "account exclusion"  # what the mail that asks for the deletion is called, word for word


class Leave(forms.Form):
    password = PasswordField("Your password", [needed], render_kw={"autocomplete": "current-password"})


class Link(forms.Form):
    token = HiddenField()


@pages.view("/account/leaving", permission="account:manage", methods=["GET", "POST"])
def leaving() -> Any:
    form = Leave()
    if form.is_sent:
        with form.refusals():
            g.services.accounts.request_deletion(command_id=forms.command_id(), password=form.password.data)
            return views.see_other("/account/leaving")
    return forms.answer(
        "pages/account/leaving.html",
        form,
        account=g.services.accounts.get_account(),
        deletion=_deletion(),
        address=flask.current_app.config["SETTINGS"].support,
        subject=SUBJECT,
    )


@pages.view("/account/leaving/withdraw", permission="account:manage", methods=["POST"])
def withdraw() -> Any:
    with forms.Flashed("You stay: nothing will be deleted."):
        g.services.accounts.withdraw_deletion(command_id=forms.command_id())
    return views.see_other("/account/leaving")


@pages.view("/confirm-deletion", permission=views.ANYONE, methods=["GET", "POST"])
def confirm_deletion() -> Any:
    """Where the mailed link leads. Mail programs open links by themselves, so that only the button confirms."""
    form = Link(token=flask.request.args.get("token", ""))
    deletion = None
    if form.is_sent:
        with form.refusals():
            token = form.token.data
            deletion = g.services.accounts.confirm_deletion(command_id=forms.command_id(), token=token)
    return forms.answer("pages/confirm_deletion.html", form, deletion=deletion)


@pages.view("/withdraw-deletion", permission=views.ANYONE, methods=["GET", "POST"])
def withdraw_deletion() -> Any:
    """Where the link of the mail with the date leads. Looking changes nothing."""
    form = Link(token=flask.request.args.get("token", ""))
    if form.is_sent:
        with form.refusals():
            command_id, token = forms.command_id(), form.token.data
            g.services.accounts.withdraw_deletion_by_link(command_id=command_id, token=token)
            flask.flash("You stay: nothing will be deleted.", "success")
            return views.see_other("/sign-in")
    return forms.answer("pages/withdraw_deletion.html", form)


def _deletion() -> dict[str, Any] | None:
    with suppress(errors.NotFound):
        found: dict[str, Any] = g.services.accounts.get_deletion()
        return found
    return None
