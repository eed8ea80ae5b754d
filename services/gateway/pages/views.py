"""
The one decorator of every page. It says who may see it; from that comes who is let in, who is sent to sign in, and
how long the services may take.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import flask
import werkzeug

from services import access
from services.gateway import bodies, description, problems, routing
from services.gateway.pages import cookies, forms, guard
from shared import context, errors

ANYONE = routing.ANYONE

View = Callable[..., Any]


class Pages(flask.Blueprint):
    """A group of pages."""

    def view(
        self,
        rule: str,
        *,
        permission: str,
        methods: Sequence[str] = ("GET",),
        seconds: float = description.ANSWER_SECONDS,
        reads_itself: bool = False,
    ) -> Callable[[View], View]:
        """
        :param permission: a name of `access.PERMISSIONS`, or ANYONE
        :param seconds: how long the services may take in all
        :param reads_itself: whether the view reads its form by `guard.read_form`, because it must know first who
            sends it: one with a file
        """

        def decorate(view: View) -> View:
            self.add_url_rule(
                rule, view.__name__, _door(view, permission, seconds, reads_itself), methods=list(methods)
            )
            return view

        return decorate


def _door(view: View, permission: str, seconds: float, reads_itself: bool) -> View:
    @functools.wraps(view)
    def door(**arguments: Any) -> Any:
        routing.start_the_clock(seconds)
        bodies.check_text(flask.request.args.to_dict(flat=False))
        if flask.request.method == "POST" and reads_itself:
            guard.check_origin()
        elif flask.request.method == "POST":
            guard.read_form()
            forms.command_id()  # without one it could be done twice
        if permission != ANYONE:
            actor = visitor()
            if actor is None:
                return _to_sign_in()
            context.enter(replace(context.current(), actor=actor))
            access.check(actor, permission)
        return view(**arguments)

    return door


def visitor() -> context.Actor | None:
    """Who is signed in, by the cookie; None if nobody, or no longer."""
    token = cookies.token()
    if not token:
        return None
    try:
        actor: context.Actor = flask.g.authentication.identify_session(token)
    except problems.Problem:
        return None
    return actor


def visitor_if_known() -> context.Actor | None:
    """For a page that does as well for nobody: None, too, while the service that knows sessions is away."""
    try:
        return visitor()
    except errors.Unavailable:
        return None


def act_as(actor: context.Actor) -> None:
    """For a page that shows something else to whoever is signed in."""
    context.enter(replace(context.current(), actor=actor))


def see_other(path: str) -> werkzeug.Response:
    """After a form: go on with GET, so that a reload sends nothing again."""
    return flask.redirect(path, 303)


def leave_for(url: str, place: str) -> str:
    """
    Send a person to a page of Stripe's.

    Not by a redirect: it would belong to the form, and our forms may go to our own site only.
    """
    return flask.render_template("pages/leaving_for.html", url=url, place=place)


def _to_sign_in() -> werkzeug.Response:
    """With the way back; a form that came too late is not sent again by itself."""
    if flask.request.method == "POST":
        flask.flash("You have been signed out. Sign in and do it again.", "warning")
        return see_other("/sign-in")
    path = flask.request.full_path.rstrip("?")
    return flask.redirect("/sign-in" if path == "/" else "/sign-in?" + urlencode({"next": path}), 303)
