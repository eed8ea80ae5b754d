"""
The revision of what is shown: a client that names it changes only what it has seen.

It is made of the answer itself, so everything that is shown has one, without a column anywhere.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from shared import context, errors, events

LENGTH = 32


def of(shown: Any) -> str:
    """:param shown: a service's answer, made of JSON values"""
    return hashlib.sha256(events.encode(shown)).hexdigest()[:LENGTH]


def check(show: Callable[[], Any]) -> None:
    """
    For commands, within their transaction, when what they change is locked.

    :param show: gives what the query shows of it now; not called if nobody named a revision
    :raises Conflict: `precondition_failed` if whoever asks named other revisions
    """
    wanted = context.current().if_match
    if wanted is not None and of(show()) not in wanted:
        raise errors.Conflict("precondition_failed", "This has changed since it was read; read it again.")
