"""
Calls of which a crowd may come at once, and of which the service does a few at a time.

What is too many is refused here, before RabbitMQ and the service have had a part in it: they go on with what others
ask of them.
"""

from collections.abc import Callable
from typing import Any

from shared import errors

PLACES = 40  # twice what one process of accounts takes in; see `services.accounts.passwords`
PASSWORD_DOORS = frozenset(
    {
        "accept_invitation",
        "change_password",
        "create_session",
        "hand_over_org",
        "register",
        "request_deletion",
        "request_email_change",
        "reset_password",
    }
)


class Gate:
    """
    A service as its callers see it, some of whose doors have places that are taken for the time of a call.

    :param remote: the service's client
    """

    def __init__(self, remote: Any, *, doors: frozenset[str], places: int) -> None:
        self._remote = remote
        self._doors = doors
        self._places = places
        self._taken = 0

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._remote, method)
        return self._gated(call) if method in self._doors else call

    def _gated(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def gated(**arguments: Any) -> Any:
            """:raises Unavailable: `busy` if no place is free, and whatever the call raises"""
            if self._taken >= self._places:
                raise errors.Unavailable("busy", "Too many people sign in at this moment; try again.")
            self._taken += 1
            try:
                return call(**arguments)
            finally:
                self._taken -= 1

        return gated
