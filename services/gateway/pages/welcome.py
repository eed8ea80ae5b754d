"""Up to the door and back out: sign up, confirm, sign in, sign out, a forgotten password."""

from contextlib import suppress
from typing import Any

import flask
from flask import g
from wtforms import EmailField, HiddenField, PasswordField, StringField, validators  # type: ignore[import-untyped]

from services.gateway.pages import cookies, forms, guard, views
from shared import errors

pages = views.Pages("pages_welcome", __name__)

PASSWORD_HINT = "15 to 128 characters. A few unrelated words make a good one."  # noqa: S105
WRONG_LINK = "This link is unknown, too old, or has been used."
WRONG_CONFIRMATION = "This link is unknown or too old, or the address was confirmed with another one."
NOT_ENDED = (
    "You are signed out in this browser. The session itself could not be ended just now: once Chatness is back, sign "
    "in and end it under Your Account."
)

needed = validators.InputRequired("Please fill this in.")


class SignUp(forms.Form):
    name = StringField("Your name", [needed], render_kw={"autocomplete": "name", "maxlength": 100})
    email = EmailField("Email", [needed], render_kw={"autocomplete": "email"})
    org_name = StringField(
        "Organization",
        description="What your business is called. Your own name if you leave it empty.",
        render_kw={"autocomplete": "organization", "maxlength": 100},
    )
    password = PasswordField(
        "Password", [needed], description=PASSWORD_HINT, render_kw={"autocomplete": "new-password"}
    )


class Confirm(forms.Form):
    token = HiddenField()


class SignIn(forms.Form):
    email = EmailField("Email", [needed], render_kw={"autocomplete": "username"})
    password = PasswordField("Password", [needed], render_kw={"autocomplete": "current-password"})
    next = HiddenField()


class Forgotten(forms.Form):
    email = EmailField("Email", [needed], render_kw={"autocomplete": "username"})


class Reset(forms.Form):
    token = HiddenField()
    password = PasswordField(
        "New password", [needed], description=PASSWORD_HINT, render_kw={"autocomplete": "new-password"}
    )


@pages.view("/sign-up", permission=views.ANYONE, methods=["GET", "POST"])
def sign_up() -> Any:
    form = SignUp()
    if form.is_sent:
        with form.refusals():
            g.services.accounts.register(
                command_id=forms.command_id(),
                name=form.name.data,
                email=form.email.data,
                password=form.password.data,
                org_name=form.org_name.data or "",
            )
            flask.flash(form.email.data.strip(), "address")
            return views.see_other("/sign-up/sent")
    return forms.answer("pages/sign_up.html", form)


@pages.view("/sign-up/sent", permission=views.ANYONE)
def look_into_mailbox() -> str:
    return flask.render_template("pages/sent.html", what="confirm")


@pages.view("/confirm-email", permission=views.ANYONE, methods=["GET", "POST"])
def confirm_email() -> Any:
    """Where the mailed link leads. Mail programs open links by themselves, so that only the button confirms."""
    form = Confirm(token=flask.request.args.get("token", ""))
    if form.is_sent:
        with form.refusals():
            g.services.accounts.confirm_email(command_id=forms.command_id(), token=form.token.data)
            flask.flash("Your address is confirmed. Welcome! Sign in to begin.", "success")
            return views.see_other("/sign-in")
    return forms.answer("pages/confirm_email.html", form, wrong_link=WRONG_CONFIRMATION)


@pages.view("/sign-in", permission=views.ANYONE, methods=["GET", "POST"])
def sign_in() -> Any:
    form = SignIn(next=flask.request.args.get("next", ""))
    back = guard.way_back(form.next.data)
    if flask.request.method != "POST" and views.visitor_if_known() is not None:
        return views.see_other(back)
    if form.is_sent:
        with form.refusals():
            signed_in = _start_session(form)
            flask.session.clear()  # forms of before are none of the person's
            response = views.see_other(back)
            cookies.keep(response, signed_in["token"])
            return response
    if form.code == "session_already_created":
        if views.visitor_if_known() is not None:
            return views.see_other(back)
        form.command_id.data = forms.new_command_id()
        form.refusal = "This form has signed you in before. Type the password again to sign in here."
    return forms.answer("pages/sign_in.html", form)


def _start_session(form: SignIn) -> dict[str, Any]:
    signed_in: dict[str, Any] = g.services.accounts.create_session(
        command_id=forms.command_id(),
        email=form.email.data,
        password=form.password.data,
        user_agent=flask.request.headers.get("User-Agent", "")[:200],
    )
    return signed_in


@pages.view("/sign-out", permission=views.ANYONE, methods=["POST"])
def sign_out() -> Any:
    """Whoever is not signed in any more is not told to sign in first. The cookie goes in any case."""
    try:
        _end_session()
        said = "You are signed out.", "success"
    except errors.Unavailable:
        said = NOT_ENDED, "warning"
    flask.session.clear()
    flask.flash(*said)
    response = views.see_other("/sign-in")
    cookies.drop(response)
    return response


def _end_session() -> None:
    actor = views.visitor()
    if actor is None:
        return
    views.act_as(actor)
    with suppress(errors.NotFound):  # it has ended meanwhile
        g.services.accounts.end_current_session(command_id=forms.command_id())
    g.authentication.forget_sessions()


@pages.view("/forgotten-password", permission=views.ANYONE, methods=["GET", "POST"])
def forgotten_password() -> Any:
    form = Forgotten()
    if form.is_sent:
        with form.refusals():
            g.services.accounts.request_password_reset(command_id=forms.command_id(), email=form.email.data)
            flask.flash(form.email.data.strip(), "address")
            return views.see_other("/forgotten-password/sent")
    return forms.answer("pages/forgotten_password.html", form)


@pages.view("/forgotten-password/sent", permission=views.ANYONE)
def look_for_reset() -> str:
    return flask.render_template("pages/sent.html", what="reset")


@pages.view("/reset-password", permission=views.ANYONE, methods=["GET", "POST"])
def reset_password() -> Any:
    """Where the mailed link leads. Looking changes nothing."""
    form = Reset(token=flask.request.args.get("token", ""))
    if form.is_sent:
        with form.refusals():
            g.services.accounts.reset_password(
                command_id=forms.command_id(), token=form.token.data, password=form.password.data
            )
            g.authentication.forget_sessions()
            flask.flash("Your password is changed, and you are signed out everywhere. Sign in with it.", "success")
            response = views.see_other("/sign-in")
            cookies.drop(response)
            return response
    return forms.answer("pages/reset_password.html", form, wrong_link=WRONG_LINK)
