"""Errors in Stripe's own shape and words: what the SDK turns into its exception classes."""

from typing import Any

DOCUMENTATION = "https://stripe.com/docs/error-codes"


class StripeError(Exception):
    """
    A refused call.

    :param keeps_changes: commit what was done before the refusal (a failed attempt to pay stays on record)
    """

    def __init__(self, status: int, kind: str, message: str, *, keeps_changes: bool = False, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.keeps_changes = keeps_changes
        self.details = {name: value for name, value in details.items() if value is not None}

    def body(self, request_id: str) -> dict[str, Any]:
        error = {"message": str(self), "type": self.kind, **self.details}
        if "code" in error:
            error["doc_url"] = f"{DOCUMENTATION}/{error['code'].replace('_', '-')}"
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": error}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(400, "invalid_request_error", message, param=param, code=code)


def missing(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> StripeError:
    """:param status: 404 for an object named in the address, 400 for one named in a parameter"""
    message = f"No such {kind.replace('.', ' ').replace('_', ' ')}: '{object_id}'"
    return StripeError(status, "invalid_request_error", message, param=param, code="resource_missing")


def unknown_address(method: str, path: str) -> StripeError:
    message = f"Unrecognized request URL ({method}: {path}). The Stripe sandbox has no such call."
    return StripeError(404, "invalid_request_error", message)


def unauthenticated(key: str | None) -> StripeError:
    if key is None:
        message = "You did not provide an API key. You need to provide your API key in the Authorization header."
    else:
        message = f"Invalid API Key provided: {key[:8]}***. The Stripe sandbox takes sk_test_ and rk_test_ keys."
    return StripeError(401, "invalid_request_error", message)


def key_reused(key: str) -> StripeError:
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return StripeError(400, "idempotency_error", message)


def key_in_use(key: str) -> StripeError:
    message = (
        f"There is currently another in-progress request using this Idempotent Key ({key}). Please try again later."
    )
    return StripeError(409, "idempotency_error", message, code="idempotency_key_in_use")


def broken() -> StripeError:
    return StripeError(500, "api_error", "An unknown error occurred in the Stripe sandbox; its log says which.")


def injected(status: int) -> StripeError:
    """The answer of a fault that a test asked for."""
    if status == 429:
        return StripeError(429, "invalid_request_error", "Too many requests (injected fault)", code="rate_limit")
    return StripeError(status, "api_error", "Something went wrong (injected fault)")
