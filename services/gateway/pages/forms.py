"""
Forms: what was typed, and a refusal shown beside the field that it is about.

Each carries a random command id, made with the form: sent twice, it is done once. After a refusal it stays the same,
since refusals are not remembered.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import flask
from flask_wtf import FlaskForm  # type: ignore[import-untyped]
from werkzeug import exceptions
from wtforms import HiddenField  # type: ignore[import-untyped]

from services.gateway import problems
from shared import errors, ids

_COMMAND_ID = re.compile(r"cmd_[0-9a-z]{26}")

AWAY = "A part of Chatness is away for a moment. Nothing is lost: send it again."
WORDS = {
    "service_unavailable": AWAY,
    "deadline_passed": AWAY,
    "idempotency_in_progress": "This form is on its way already. Wait a moment, then look whether it was done.",
    "rate_limited": "This was tried too often. Wait a few minutes, and try again.",
    "changed_meanwhile": "Somebody else changed this at the same moment. Send it again.",
    "idempotency_key_reused": "This form was sent before with something else in it. Look at it, and send it again.",
}


def new_command_id() -> str:
    return ids.new("cmd")


def command_id() -> str:
    """The one that came with the form. :raises BadRequest: if none of ours did"""
    given = flask.request.form.get("command_id", "")
    if not _COMMAND_ID.fullmatch(given):
        raise exceptions.BadRequest("The form is not complete.")
    return given


class Form(FlaskForm):  # type: ignore[misc]
    """:ivar refusal: what stands above the fields"""

    command_id = HiddenField(default=new_command_id)

    refusal: str = ""
    code: str = ""
    refused_status: int = 0
    refused_headers: Mapping[str, str] = MappingProxyType({})

    @property
    def is_sent(self) -> bool:
        """Whether it came complete and can be carried out."""
        return bool(self.validate_on_submit())

    @property
    def status(self) -> int:
        """Of the page that shows it."""
        return self.refused_status or (422 if self.errors else 200)

    def refusals(self) -> "Refusals":
        """A block in which the refusals of services end up in the form."""
        return Refusals(self)

    def refuse(self, error: errors.ServiceError) -> None:
        problem = problems.from_exception(error)
        self.code, self.refused_status, self.refused_headers = problem.code, problem.status, problem.headers
        if error.code == "idempotency_key_reused":
            self.command_id.data = self.command_id.raw_data = None
            self.command_id.data = new_command_id()
        if not self._refuse_fields(error.details.get("errors", [])):
            self.refusal = WORDS.get(error.code, error.message)

    def _refuse_fields(self, faults: list[dict[str, str]]) -> bool:
        """Whether each fault has its field here."""
        for fault in faults:
            name = fault.get("pointer", "").strip("/").split("/")[0]
            if name not in self._fields:
                return False
            field = self._fields[name]
            field.errors = [*field.errors, _sentence(fault["detail"])]
        return bool(faults)


class Refusals:
    def __init__(self, form: Form) -> None:
        self._form = form

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, errors.ServiceError):
            return False
        self._form.refuse(error)
        return True


class Flashed:
    """
    For a form that is only a button: what became of it is said on the page that comes next.

    A part that is away is not for a message: the 503 says so, and the button can be pressed again.

    :ivar done: what is said if it was done; where that depends on the answer, it is set in the block
    """

    def __init__(self, done: str = "Done.") -> None:
        self.done = done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            flask.flash(self.done, "success")
            return False
        if not isinstance(error, errors.ServiceError) or isinstance(error, errors.Unavailable):
            return False
        flask.flash(WORDS.get(error.code, error.message), "warning")
        return True


def answer(template: str, form: Form, **shown: Any) -> tuple[str, int, Mapping[str, str]]:
    """The page with this form, and the status of what was refused in it."""
    return flask.render_template(template, form=form, **shown), form.status, form.refused_headers


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
