"""
Webhook endpoints, and the deliveries that wait for them.

Deliveries are sent in the order of their events. One that is not answered with 2xx is tried again after
0.5, 1, 2, 5, 10, 30 and then every 60 real seconds, by itself: later ones do not wait for it, as at Stripe. It is
given up three days of the test clock after its event.
"""

import fnmatch
import re
import time
from typing import Any

from sandbox.stripe import errors, listing, parameters
from sandbox.stripe.parameters import Required, Unset
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id

BACK_OFF_SECONDS = (0.5, 1, 2, 5, 10, 30)
STEADY_BACK_OFF_SECONDS = 60.0
GIVE_UP_SECONDS = 3 * 24 * 3600
GATHER_SECONDS = 0.3


def back_off_seconds(attempts: int) -> float:
    """:param attempts: how many have failed, at least one"""
    return BACK_OFF_SECONDS[attempts - 1] if attempts <= len(BACK_OFF_SECONDS) else STEADY_BACK_OFF_SECONDS


def wanting(store: Store, kind: str) -> list[Object]:
    """The enabled endpoints that want events of this kind."""
    return [
        endpoint
        for endpoint in reversed(store.find("webhook_endpoint", status="enabled"))
        if any(matches(wanted, kind) for wanted in endpoint["enabled_events"])
    ]


def matches(pattern: str, kind: str) -> bool:
    return fnmatch.fnmatchcase(kind, pattern)


def queue(store: Store, event: Object, endpoints: list[Object]) -> None:
    """Queue an event for these endpoints, as often and as late as the knobs say."""
    knobs = settings(store)
    next_at = time.time() + knobs["delay_seconds"] + (GATHER_SECONDS if knobs["reorder"] else 0)
    for endpoint in endpoints:
        for _ in range(1 + knobs["duplicate"]):
            store.connection.execute(
                "INSERT INTO deliveries (event, endpoint, status, attempts, next_at, give_up_at)"
                " VALUES (?, ?, 'pending', 0, ?, ?)",
                (event["id"], endpoint["id"], next_at, store.present + GIVE_UP_SECONDS),
            )
    if knobs["reorder"]:
        fresh = "UPDATE deliveries SET next_at = ? WHERE status = 'pending' AND attempts = 0"
        store.connection.execute(fresh, (next_at,))


def settings(store: Store) -> dict[str, Any]:
    """The knobs of deliveries; `knobs` says what they mean."""
    defaults = {
        "stopped": False,
        "duplicate": 0,
        "delay_seconds": 0.0,
        "reorder": False,
        "drop_next": 0,
        "wrong_signature_next": 0,
        "signature_offset_seconds": 0,
    }
    return {**defaults, **store.setting("deliveries", {})}


def configure(store: Store, *, url: str, secret: str) -> None:
    """The endpoint of the command line: made, or pointed to the new address, under a fixed id."""
    endpoint = store.lookup("we_sandbox") or _endpoint(store, "we_sandbox", url)
    store.save({**endpoint, "url": url})
    store.set_setting("secret:we_sandbox", secret)


def secret_of(store: Store, endpoint_id: str) -> str:
    return str(store.setting(f"secret:{endpoint_id}", ""))


def create(store: Store, params: dict[str, Any]) -> Object:
    _check_url(params["url"])
    _check_events(params["enabled_events"])
    endpoint = _endpoint(store, new_id("we"), params["url"])
    store.save(_with(endpoint, params))
    secret = new_id("whsec", 32)
    store.set_setting(f"secret:{endpoint['id']}", secret)
    return {**endpoint, "secret": secret}


def list_endpoints(store: Store, params: dict[str, Any]) -> Object:
    return listing.page(store.find("webhook_endpoint"), params, "/v1/webhook_endpoints")


def update(store: Store, params: dict[str, Any], endpoint_id: str) -> Object:
    if "url" in params:
        _check_url(params["url"])
    _check_events(params.get("enabled_events", []))
    return store.save(_with(store.get("webhook_endpoint", endpoint_id), params))


def delete(store: Store, _params: dict[str, Any], endpoint_id: str) -> Object:
    store.get("webhook_endpoint", endpoint_id)
    store.delete(endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def _endpoint(store: Store, endpoint_id: str, url: str) -> Object:
    return {
        "id": endpoint_id,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": store.now,
        "description": None,
        "enabled_events": ["*"],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }


def _with(endpoint: Object, params: dict[str, Any]) -> Object:
    for name in ("url", "description", "enabled_events", "metadata", "api_version"):
        if name in params:
            endpoint[name] = params[name]
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return endpoint


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise errors.invalid("Invalid URL: An explicit scheme (such as https) must be provided.", param="url")


def _check_events(wanted: list[str]) -> None:
    """Names of events, or `*` for all; Stripe knows no other pattern."""
    for index, name in enumerate(wanted):
        if name != "*" and _EVENT.fullmatch(name) is None:
            raise errors.invalid(f"Invalid enabled_events: {name} is no event", param=f"enabled_events[{index}]")


_EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_WRITABLE = {"description": Unset(str), "metadata": parameters.METADATA}
ROUTES = [
    Route(
        "POST",
        "/v1/webhook_endpoints",
        create,
        {**_WRITABLE, "url": Required(str), "enabled_events": Required([str]), "api_version": str},
    ),
    Route("GET", "/v1/webhook_endpoints", list_endpoints, parameters.LISTING),
    Route("GET", "/v1/webhook_endpoints/<object_id>", retrieve("webhook_endpoint")),
    Route(
        "POST",
        "/v1/webhook_endpoints/<endpoint_id>",
        update,
        {**_WRITABLE, "url": str, "enabled_events": [str], "disabled": bool},
    ),
    Route("DELETE", "/v1/webhook_endpoints/<endpoint_id>", delete),
]
