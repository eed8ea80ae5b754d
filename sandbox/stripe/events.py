"""What happened, as events: stored in the transaction of the change, and handed to every endpoint that wants it."""

import copy
from typing import Any

from sandbox.stripe import errors, listing, parameters, webhooks
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store, new_id

API_VERSION = "2026-10-28.endive"
KEPT_SECONDS = 30 * 24 * 3600


def record(store: Store, kind: str, body: Object, *, before: Object | None = None) -> Object:
    """Store an event about an object as it is now, and queue its deliveries."""
    endpoints = webhooks.wanting(store, kind)
    data: Object = {"object": copy.deepcopy(body)}
    if before is not None:
        data["previous_attributes"] = _previous(before, body)
    event: Object = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": store.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": {"id": store.request_id, "idempotency_key": store.idempotency_key},
        "type": kind,
    }
    store.save(event)
    webhooks.queue(store, event, endpoints)
    return event


def changed(store: Store, kind: str, before: Object, after: Object) -> Object:
    """Save a changed object, and tell of it if it really changed."""
    store.save(after)
    if before != after:
        record(store, kind, after, before=before)
    return after


def list_events(store: Store, params: dict[str, Any]) -> Object:
    """A cursor that has been forgotten is unknown, as any other."""
    kinds = params.get("types") or ([params["type"]] if params.get("type") else None)
    found = [
        event
        for event in store.find("event", created=params.get("created"))
        if not _is_forgotten(store, event)
        and (kinds is None or any(webhooks.matches(kind, event["type"]) for kind in kinds))
    ]
    return listing.page(found, params, "/v1/events")


def get(store: Store, _params: dict[str, Any], object_id: str) -> Object:
    event = store.get("event", object_id)
    if _is_forgotten(store, event):
        raise errors.missing("event", object_id)
    return event


def _is_forgotten(store: Store, event: Object) -> bool:
    return bool(event["created"] < store.now - KEPT_SECONDS)


def _previous(before: Any, after: Any) -> Any:
    """The old values of what changed; hashes are compared name by name, lists as a whole. What is new was null."""
    changed = {
        name: _previous(old, after[name]) if isinstance(old, dict) and isinstance(after.get(name), dict) else old
        for name, old in before.items()
        if after.get(name) != old
    }
    return changed | {name: None for name in after if name not in before}


ROUTES = [
    Route(
        "GET",
        "/v1/events",
        list_events,
        {**parameters.LISTING, "type": str, "types": [str], "created": parameters.MOMENTS},
    ),
    Route("GET", "/v1/events/<object_id>", get),
]
