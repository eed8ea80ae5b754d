"""Your Account: General, Billing, API. Org is in `org`, how to leave in `leaving`."""

from typing import Any

import flask
from flask import g

from services.gateway.pages import credentials, forms, views, words
from shared import context

pages = views.Pages("pages_account", __name__)


@pages.view("/account", permission="account:manage", methods=["GET", "POST"])
def general() -> Any:
    form = credentials.General()
    if flask.request.method != "POST":
        return credentials.general(form)
    if form.is_sent:
        with form.refusals():
            g.services.accounts.change_name(command_id=forms.command_id(), name=form.name.data)
            flask.flash("Your name is changed.", "success")
            return views.see_other("/account")
    return credentials.general(form, named=form)


@pages.view("/account/password-link", permission="account:manage", methods=["POST"])
def mail_password_link() -> Any:
    """To the account's own address, which nobody who is signed in need type."""
    email = g.services.accounts.get_account()["email"]
    with forms.Flashed(f"A mail with the link is on its way to {email}. At most three go out in an hour."):
        g.services.accounts.request_password_reset(command_id=forms.command_id(), email=email)
    return views.see_other("/account")


@pages.view("/account/sessions/<session_id>/end", permission="account:manage", methods=["POST"])
def end_session(session_id: str) -> Any:
    with forms.Flashed("That session is ended."):
        g.services.accounts.end_session(command_id=forms.command_id(), session_id=session_id)
    g.authentication.forget_sessions()
    return views.see_other("/account")


@pages.view("/account/billing", permission="account:manage")
def billing() -> str:
    """The subscription in a word, for the owner; to a member it is said whom to ask."""
    if context.current().actor.role != "owner":
        return flask.render_template("pages/account/billing.html", subscription=None, plan=None)
    subscription = g.services.billing.get_subscription()
    plans = {plan["id"]: plan for plan in g.services.billing.list_plans()}
    plan = plans.get(subscription["plan"])
    return flask.render_template("pages/account/billing.html", subscription=subscription, plan=plan)


@pages.view("/account/api", permission="account:manage")
def api() -> str:
    return flask.render_template("pages/account/api.html", scopes=words.SCOPES)
