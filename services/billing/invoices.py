"""The invoices of an org, as Stripe keeps them; we keep none."""

from typing import Any

from services.billing import customers, stripe_api
from services.billing.parts import Parts
from shared import errors

MOST_AT_ONCE = 100


def page(parts: Parts, *, org_id: str, limit: int, after: str) -> dict[str, Any]:
    """
    The newest first.

    :param after: the id of the last invoice of the page before
    :raises Invalid: `invalid_limit` or `invalid_cursor`
    :raises Conflict: `stripe_refused`, as where the customer is one of another account
    :raises Unavailable: `stripe_unavailable`
    """
    if not 1 <= limit <= MOST_AT_ONCE:
        raise errors.Invalid("invalid_limit", f"`limit` is between 1 and {MOST_AT_ONCE}.")
    with parts.database.begin() as session:
        customer_id = customers.customer_id(session, org_id)
    if not customer_id:
        return {"invoices": [], "has_more": False}
    with stripe_api.unavailable_when_away():
        try:
            found, has_more = parts.stripe().invoices(customer_id, limit=limit, after=after)
        except stripe_api.Refused as error:
            if error.param != "starting_after":
                raise
            raise errors.Invalid("invalid_cursor", "There is no such invoice to go on from.") from error
    return {"invoices": found, "has_more": has_more}
