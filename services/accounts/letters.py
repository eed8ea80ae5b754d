"""
A mail as HTML, beside its text: made of that text, so that both say the same and have the same links.

One layout for all. Nothing is fetched when it is opened: no picture, no font, no trace of who has read it.
"""

import functools
import re
from importlib import resources
from typing import Any

import jinja2

LINK = re.compile(r"https?://\S+")


def html(*, subject: str, text: str, action: str = "") -> str:
    """
    :param text: paragraphs with an empty line between; one that is a link and nothing else becomes a button
    :param action: what the button is called
    """
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    shown = [{"text": part, "is_link": LINK.fullmatch(part) is not None} for part in paragraphs]
    return _layout().render(
        subject=subject, paragraphs=shown, action=action or "Open the page", preview=_preview(shown)
    )


def _preview(shown: list[dict[str, Any]]) -> str:
    """What a mailbox shows beside the subject: the first words after the greeting."""
    said = [one["text"] for one in shown if not one["is_link"]]
    return said[1] if len(said) > 1 else ""


@functools.cache
def _layout() -> jinja2.Template:
    """Whatever is written into it is escaped."""
    source = (resources.files("services.accounts") / "letter.html").read_text()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)
