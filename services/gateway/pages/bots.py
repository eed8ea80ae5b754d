"""Home: the bots and the month. And what can be done with a bot."""

from typing import Any

import flask
from flask import g
from wtforms import StringField  # type: ignore[import-untyped]

from services.gateway.pages import forms, shell, views
from services.gateway.pages.welcome import needed
from shared import context, errors

pages = views.Pages("pages_bots", __name__)

MOST_SHOWN = 100


class Named(forms.Form):
    name = StringField("Name", [needed], render_kw={"maxlength": 100, "autocomplete": "off"})


@pages.view("/", permission=views.ANYONE)
def home() -> Any:
    """Of somebody who is signed in; to others, what this is."""
    actor = views.visitor()
    if actor is None:
        return flask.render_template("pages/landing.html")
    views.act_as(actor)
    return _home(Named())


@pages.view("/bots", permission="bots:read")
def go_home() -> Any:
    """Where the browser stands after a refused form, and what a reload asks for."""
    return views.see_other("/")


@pages.view("/bots", permission="bots:write", methods=["POST"])
def create_bot() -> Any:
    form = Named()
    if form.is_sent:
        with form.refusals():
            bot = g.services.quota.create_bot(command_id=forms.command_id(), name=form.name.data)
            flask.flash(created(bot), "success")
            return views.see_other("/")
    return _home(form)


def created(bot: dict[str, Any]) -> str:
    """What has become of it. At a repeat somebody may have paused it meanwhile."""
    match bot["state"]:
        case "running":
            return f"{bot['name']} is running."
        case "stopped":
            return f"{bot['name']} is made. It runs as soon as there are messages left."
        case _:
            return f"{bot['name']} is made."


def resumed(bot: dict[str, Any]) -> str:
    match bot["state"]:
        case "running":
            return "Running again."
        case "stopped":
            return "Resumed. It runs as soon as there are messages left."
        case _:
            return "Resumed, and paused again since."


def _home(form: Named) -> Any:
    after = flask.request.args.get("after", "")
    found = g.services.quota.list_bots(after=after, limit=MOST_SHOWN + 1)
    bots = found[:MOST_SHOWN]
    return forms.answer(
        "pages/home.html",
        form,
        bots=bots,
        after=after,
        more_after=bots[-1]["id"] if len(found) > len(bots) else None,
        usage=_usage_if_known(),
        subscription=_subscription(),
    )


def _usage_if_known() -> dict[str, Any] | None:
    """None for the moment in which quota has not heard of a new org. :raises ServiceError: otherwise"""
    try:
        return shell.usage()
    except errors.Unavailable as error:
        if error.code != "org_not_ready":
            raise
        return None


def _subscription() -> dict[str, Any] | None:
    """For the notices. They are the owner's, and the bots are shown without them too."""
    if context.current().actor.role != "owner":
        return None
    try:
        found: dict[str, Any] = g.services.billing.with_timeout(shell.LOOK_SECONDS).get_subscription()
    except errors.ServiceError:
        return None
    return found


@pages.view("/bots/<bot_id>", permission="bots:write", methods=["GET", "POST"])
def rename_bot(bot_id: str) -> Any:
    bot = g.services.quota.get_bot(bot_id=bot_id)
    form = Named(name=bot["name"])
    if form.is_sent:
        with form.refusals():
            g.services.quota.rename_bot(command_id=forms.command_id(), bot_id=bot_id, name=form.name.data)
            flask.flash("The name is changed.", "success")
            return views.see_other("/")
    return forms.answer("pages/bot.html", form, bot=bot)


@pages.view("/bots/<bot_id>/pause", permission="bots:write", methods=["POST"])
def pause_bot(bot_id: str) -> Any:
    with forms.Flashed("Paused. It stays so until somebody resumes it."):
        g.services.quota.pause_bot(command_id=forms.command_id(), bot_id=bot_id)
    return views.see_other("/")


@pages.view("/bots/<bot_id>/resume", permission="bots:write", methods=["POST"])
def resume_bot(bot_id: str) -> Any:
    with forms.Flashed() as flashed:
        flashed.done = resumed(g.services.quota.resume_bot(command_id=forms.command_id(), bot_id=bot_id))
    return views.see_other("/")


@pages.view("/bots/<bot_id>/delete", permission="bots:write", methods=["GET"])
def confirm_deletion(bot_id: str) -> str:
    return flask.render_template("pages/delete_bot.html", bot=g.services.quota.get_bot(bot_id=bot_id))


@pages.view("/bots/<bot_id>/delete", permission="bots:write", methods=["POST"])
def delete_bot(bot_id: str) -> Any:
    with forms.Flashed("The bot is deleted."):
        g.services.quota.delete_bot(command_id=forms.command_id(), bot_id=bot_id)
    return views.see_other("/")
