"""A person's picture on the page: a form that carries a file, and a button that takes the picture away."""

from typing import Any

import flask
from flask import g
from werkzeug import exceptions

from services.gateway import pictures
from services.gateway.pages import credentials, forms, guard, views
from shared import context

pages = views.Pages("pages_picture", __name__)

TOO_LARGE = "This file is larger than 5 MiB. Make the picture smaller, and send that."


@pages.view("/account/picture", permission="account:manage")
def leave_picture() -> Any:
    """Where the browser stands after a refused form, and what a reload asks for."""
    return views.see_other("/account")


@pages.view("/account/picture", permission="account:manage", methods=["POST"], reads_itself=True)
def set_picture() -> Any:
    """A file is read when there is a place for it, and so after it is known whose it is."""
    with g.services.pictures.place(context.current().actor.id):
        try:
            guard.read_form(file_bytes=pictures.MOST_BYTES)
        except exceptions.RequestEntityTooLarge:
            return _too_large()
        command_id, form = forms.command_id(), credentials.Picture()
        if form.is_sent:
            sent = form.picture.data.read()
            if len(sent) > pictures.MOST_BYTES:
                return _too_large()
            with form.refusals():
                pictures.give(g.services, sent, command_id=command_id)
                flask.flash("Your picture is set.", "success")
                return views.see_other("/account")
        return credentials.general(form, picture=form)


def _too_large() -> Any:
    form = credentials.Picture(formdata=None)
    form.refusal, form.refused_status = TOO_LARGE, 413
    return credentials.general(form, picture=form)


@pages.view("/account/picture/remove", permission="account:manage", methods=["POST"])
def remove_picture() -> Any:
    with forms.Flashed("Your picture is gone, and its address shows nothing any more."):
        g.services.accounts.remove_picture(command_id=forms.command_id())
    return views.see_other("/account")
