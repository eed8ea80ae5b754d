"""The end of a customer: everything it has ends; what stays is its id, marked as deleted, and its invoices."""

from typing import Any

from sandbox.stripe import customers, events, subscriptions
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store


def delete(store: Store, _params: dict[str, Any], customer_id: str) -> Object:
    customer = customers.live(store, customer_id, param="id", status=404)
    for subscription in store.find("subscription", customer=customer_id):
        if subscription["status"] not in subscriptions.ENDED:
            subscriptions.end(store, subscription, reason="cancellation_requested")
    for payment_method in store.find("payment_method", customer=customer_id):
        store.save({**payment_method, "customer": None})
    deleted = {"id": customer_id, "object": "customer", "deleted": True}
    store.save(deleted)
    events.record(store, "customer.deleted", customer)
    return deleted


ROUTES = [Route("DELETE", "/v1/customers/<customer_id>", delete)]
