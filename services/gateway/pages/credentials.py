"""What somebody signs in with: another password, another address, and the links that are mailed for the address."""

from typing import Any

import flask
from flask import g
from flask_wtf import file  # type: ignore[import-untyped]
from wtforms import EmailField, HiddenField, PasswordField, StringField  # type: ignore[import-untyped]

from services.gateway import pictures
from services.gateway.pages import cookies, forms, views
from services.gateway.pages.welcome import PASSWORD_HINT, WRONG_LINK, needed

pages = views.Pages("pages_credentials", __name__)


class General(forms.Form):
    name = StringField(
        "Name",
        [needed],
        description="Used system-wide and in conversations with your users.",
        render_kw={"autocomplete": "name", "maxlength": 100},
    )


class Password(forms.Form):
    current_password = PasswordField(
        "Current password", [needed], id="current-for-password", render_kw={"autocomplete": "current-password"}
    )
    new_password = PasswordField(
        "New password", [needed], description=PASSWORD_HINT, render_kw={"autocomplete": "new-password"}
    )


class Email(forms.Form):
    email = EmailField("New email", [needed], render_kw={"autocomplete": "email"})
    current_password = PasswordField(
        "Your password", [needed], id="current-for-email", render_kw={"autocomplete": "current-password"}
    )


class Picture(forms.Form):
    picture = file.FileField(
        "Picture",
        [file.FileRequired("Please choose a file.")],
        id="picture-file",
        description="JPEG, PNG or WebP, up to 5 MiB.",
        render_kw={"accept": ",".join(pictures.MEDIA_TYPES), "data-most-bytes": pictures.MOST_BYTES},
    )


class Link(forms.Form):
    token = HiddenField()


def general(form: forms.Form, **changing: forms.Form) -> Any:
    """
    Your Account, General.

    :param form: which was sent, or, at first sight, the one of the name
    :param changing: `picture`, `named`, `password` or `email`, where that was sent
    """
    account = g.services.accounts.get_account()
    shown: dict[str, forms.Form] = {
        "named": changing.get("named") or General(formdata=None, name=account["name"]),
        "password": changing.get("password") or Password(formdata=None),
        "email": changing.get("email") or Email(formdata=None),
        "picture": changing.get("picture") or Picture(formdata=None),
    }
    sessions = g.services.accounts.list_sessions()
    return forms.answer("pages/account/general.html", form, account=account, sessions=sessions, **shown)


@pages.view("/account/password", permission="account:manage")
def leave_password() -> Any:
    """Where the browser stands after a refused form, and what a reload asks for."""
    return views.see_other("/account")


@pages.view("/account/email", permission="account:manage")
def leave_email() -> Any:
    """The same."""
    return views.see_other("/account")


@pages.view("/account/password", permission="account:manage", methods=["POST"])
def change_password() -> Any:
    form = Password()
    if form.is_sent:
        with form.refusals():
            g.services.accounts.change_password(
                command_id=forms.command_id(),
                current_password=form.current_password.data,
                new_password=form.new_password.data,
            )
            g.authentication.forget_sessions()
            flask.flash("Your password is changed, and you are signed out everywhere else.", "success")
            return views.see_other("/account")
    return general(form, password=form)


@pages.view("/account/email", permission="account:manage", methods=["POST"])
def ask_for_email() -> Any:
    form = Email()
    if form.is_sent:
        with form.refusals():
            g.services.accounts.request_email_change(
                command_id=forms.command_id(), email=form.email.data, current_password=form.current_password.data
            )
            said = f"Look into the mailbox of {form.email.data.strip()}: the link there changes your address."
            flask.flash(said, "success")
            return views.see_other("/account")
    return general(form, email=form)


@pages.view("/change-email", permission=views.ANYONE, methods=["GET", "POST"])
def change_email() -> Any:
    """Where the link leads that was mailed to the new address. Looking changes nothing."""
    form = Link(token=flask.request.args.get("token", ""))
    if form.is_sent:
        with form.refusals():
            g.services.accounts.confirm_email(command_id=forms.command_id(), token=form.token.data)
            g.authentication.forget_sessions()
            flask.flash("Your address is changed. From now on you sign in with the new one.", "success")
            return views.see_other("/sign-in" if views.visitor_if_known() is None else "/account")
    return forms.answer("pages/change_email.html", form, wrong_link=WRONG_LINK)


@pages.view("/undo-email", permission=views.ANYONE, methods=["GET", "POST"])
def undo_email() -> Any:
    """Where the link leads that was mailed to the old address. Looking changes nothing."""
    form = Link(token=flask.request.args.get("token", ""))
    if form.is_sent:
        with form.refusals():
            g.services.accounts.undo_email_change(command_id=forms.command_id(), token=form.token.data)
            g.authentication.forget_sessions()
            said = (
                "Your address is back, and everybody is signed out. We have mailed you a link: set another password."
            )
            flask.flash(said, "success")
            response = views.see_other("/sign-in")
            cookies.drop(response)
            return response
    return forms.answer("pages/undo_email.html", form, wrong_link=WRONG_LINK)
