"""What a person sees when something does not work: what happened, whether anything was done, and what to do next."""

from dataclasses import dataclass

import flask

from services.gateway import problems
from services.gateway.pages import views


@dataclass(frozen=True, kw_only=True)
class Words:
    """:param link: where to go next, and what it is called"""

    title: str
    text: str
    link: tuple[str, str] = ("/", "Go home")


_BY_CODE = {
    "owner_only": Words(
        title="This is for the owner",
        text="Only the owner of your organization can see and change this. Ask them, or go on with what is yours.",
    ),
    "org_suspended": Words(
        title="This organization is suspended",
        text="Nothing has been changed. You can look at everything, change what is your own, revoke secrets, cancel "
        "your plan, and leave. For anything else, write to support.",
    ),
    "unsigned_form": Words(
        title="This form is no longer good",
        text="It had been open for too long, or your browser keeps no cookies. Nothing has been changed. "
        "Open the page again and send it once more.",
    ),
    "foreign_form": Words(
        title="This did not come from us",
        text="Another site has sent this form in your name. Nothing has been changed.",
    ),
    "busy": Words(
        title="Too many people do this at this moment",
        text="Nothing has been changed. Wait a moment, go back, and send it again.",
    ),
    "invalid_cursor": Words(
        title="This part of the list is not here", text="The link is broken or old. Begin at the first page."
    ),
}
_BY_STATUS = {
    404: Words(
        title="There is nothing here", text="The page does not exist, or it is not yours. The link may be old."
    ),
    405: Words(
        title="This cannot be opened like this", text="It is the address of a button. Go to its page instead."
    ),
    408: Words(title="That took too long", text="Your browser was slow in sending the form. Send it again."),
    413: Words(title="That is too much", text="The form holds more than we take. Shorten it and send it again."),
    500: Words(
        title="Something went wrong",
        text="This is our mistake, and it has been logged. Please try again in a little while.",
    ),
    503: Words(
        title="A part of Chatness is away",
        text="Nothing is lost. Wait a moment and try again.",
    ),
}
_NOT_KNOWN_TO_BE_DONE = Words(
    title="A part of Chatness is away",
    text="We do not know whether it was done. Wait a moment, and reload this page to send it again: it is done once, "
    "however often you send it.",
)


def concerns_a_page() -> bool:
    """Whether a page was asked for, and not the API or its description; what is no route is known by who asks."""
    request = flask.request
    if request.blueprint is not None:
        return isinstance(flask.current_app.blueprints[request.blueprint], views.Pages)
    if request.path == "/v1" or request.path.startswith("/v1/"):
        return False
    return "text/html" in request.headers.get("Accept", "")


def page(problem: problems.Problem) -> flask.Response:
    """A refusal, for a person."""
    words = _words(problem)
    link = _again(problem) or words.link
    text = flask.render_template("pages/failure.html", words=words, link=link, problem=problem)
    headers = {name: value for name, value in problem.headers.items() if name != "WWW-Authenticate"}
    return flask.Response(text, problem.status, headers)


def _words(problem: problems.Problem) -> Words:
    if problem.status == 503 and problem.code not in _BY_CODE and flask.request.method == "POST":
        return _NOT_KNOWN_TO_BE_DONE
    known = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status)
    return known or Words(title="This did not work", text=problem.detail)


def _again(problem: problems.Problem) -> tuple[str, str] | None:
    if problem.status == 503 and problem.code not in _BY_CODE and flask.request.method == "GET":
        return flask.request.full_path.rstrip("?"), "Try again"
    return None
