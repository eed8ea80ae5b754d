"""
The six ways to refuse. Each is built from `(code, message)` and an optional JSON object of details.

Never subclass these further and keep the arguments positional: nameko rebuilds a remote error from its class
path and its arguments, and a class it cannot rebuild reaches the caller as a bare `RemoteError`.
Anything else that is raised is a bug: logged where it happened, answered as 500, never shown.
"""

from typing import Any, ClassVar

from nameko.exceptions import deserialize_to_instance


class ServiceError(Exception):
    """A refusal with a stable `code` for programs and a `message` for people."""

    status: ClassVar[int]

    def __init__(self, code: str, message: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(code, message, details or {})
        self.code = code
        self.message = message
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """One item's refusal, in the answer to a call that is about many."""
        return {"kind": type(self).__name__, "code": self.code, "message": self.message, "details": self.details}


@deserialize_to_instance
class Invalid(ServiceError):
    """The request makes no sense as it stands; asking again unchanged will not help."""

    status = 422


@deserialize_to_instance
class Forbidden(ServiceError):
    """Known, but not allowed. For what belongs to somebody else use NotFound."""

    status = 403


@deserialize_to_instance
class NotFound(ServiceError):
    """There is no such thing, or it is not yours: the answer is the same."""

    status = 404


@deserialize_to_instance
class Conflict(ServiceError):
    """Possible in principle, but not in the present state."""

    status = 409


@deserialize_to_instance
class LimitReached(ServiceError):
    """A limit of the plan or of the system is used up."""

    status = 429


@deserialize_to_instance
class Unavailable(ServiceError):
    """A part is away for now. Asking again, with the same id, is right."""

    status = 503


KINDS = {kind.__name__: kind for kind in (Invalid, Forbidden, NotFound, Conflict, LimitReached, Unavailable)}


def from_json(refused: dict[str, Any]) -> ServiceError:
    """What `ServiceError.to_json` gave."""
    return KINDS[refused["kind"]](refused["code"], refused["message"], refused["details"])
