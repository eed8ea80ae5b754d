"""
Knobs for tests and demos, JSON over HTTP under /_sandbox/ (no key; the sandbox listens on this machine only).

- `GET /_sandbox/health`: `{"ok": true}`.
- `POST /_sandbox/deliveries`: any of `stopped` (bool), `duplicate` (each event so many times more), `delay_seconds`,
  `reorder` (bool: gather until 0.3 s are quiet, then send the newest first), `drop_next` (lose so many for ever),
  `wrong_signature_next` (sign so many with a wrong secret), `signature_offset_seconds` (shift the timestamp of the
  signature). What is not named stays. `{"reset": true}` puts all back. `GET` answers the settings and all deliveries.
- `POST /_sandbox/faults`: `{"kind": "status", "status": 429 or 5xx}`, `{"kind": "drop_after_commit"}` or
  `{"kind": "slow", "seconds": 2}`; optionally `count` (1), `path` ("/v1/", the beginning of the path) and `method`,
  and for a status the headers `retry_after` (seconds) and `should_retry` (bool; a 500 says no by itself). As at
  Stripe, a 500 is kept under the idempotency key and replayed; 429 and the other 5xx are not.
  `GET` answers what waits, `DELETE` clears it.
- `POST /_sandbox/events/<id>/resend`: deliver it once more to every endpoint that wants it.
- `POST /_sandbox/disputes`: `{"charge": "ch_...", "reason": "fraudulent"}`; answers the dispute.
- `POST /_sandbox/disputes/close`: `{"dispute": "dp_...", "status": "won" or "lost"}`; answers the dispute.
- `POST /_sandbox/settings`: `after_dunning`, "unpaid" or "cancel"; `draft_seconds`, for which a renewal's invoice is
  a draft before it is charged (3600 at Stripe, 0 here unless it is set).
- `GET /_sandbox/state`: every object by kind. `POST /_sandbox/reset`: forget everything but the catalogue.
"""

import dataclasses
from typing import Any

import flask

from sandbox.stripe import deliveries, errors, faults, refunds, webhooks
from sandbox.stripe.machine import Machine
from sandbox.stripe.state import TABLES, Object, Store

_KNOBS: dict[str, type | tuple[type, ...]] = {
    "stopped": bool,
    "duplicate": int,
    "delay_seconds": (int, float),
    "reorder": bool,
    "drop_next": int,
    "wrong_signature_next": int,
    "signature_offset_seconds": int,
}


def blueprint(machine: Machine) -> flask.Blueprint:
    knobs = flask.Blueprint("knobs", __name__, url_prefix="/_sandbox")
    _add_deliveries(knobs, machine)
    _add_faults(knobs, machine)
    _add_state(knobs, machine)
    knobs.register_error_handler(errors.StripeError, _refused)
    return knobs


def _add_deliveries(knobs: flask.Blueprint, machine: Machine) -> None:
    @knobs.get("/deliveries")
    def get_deliveries() -> Object:
        with machine.transaction() as store:
            return {"settings": webhooks.settings(store), "deliveries": deliveries.describe(store)}

    @knobs.post("/deliveries")
    def set_deliveries() -> Object:
        wanted = _checked(_KNOBS | {"reset": bool})
        with machine.transaction() as store:
            if wanted.pop("reset", False):
                store.set_setting("deliveries", {})
            store.set_setting("deliveries", webhooks.settings(store) | wanted)
            return webhooks.settings(store)

    @knobs.post("/events/<event_id>/resend")
    def resend(event_id: str) -> Object:
        with machine.transaction() as store:
            event = store.get("event", event_id)
            webhooks.queue(store, event, webhooks.wanting(store, event["type"]))
            return event


def _add_faults(knobs: flask.Blueprint, machine: Machine) -> None:
    @knobs.get("/faults")
    def get_faults() -> Object:
        return {"faults": [dataclasses.asdict(fault) for fault in machine.faults.waiting]}

    @knobs.post("/faults")
    def add_fault() -> Object:
        wanted = _checked(
            {
                **{"kind": str, "count": int, "status": int, "seconds": (int, float), "path": str, "method": str},
                **{"retry_after": int, "should_retry": bool},
            }
        )
        if wanted.get("kind") not in ("status", "drop_after_commit", "slow"):
            raise errors.invalid("kind is one of status, drop_after_commit and slow", param="kind")
        fault = faults.Fault(**wanted)
        machine.faults.add(fault)
        return dataclasses.asdict(fault)

    @knobs.delete("/faults")
    def clear_faults() -> Object:
        machine.faults.clear()
        return {"faults": []}


def _add_state(knobs: flask.Blueprint, machine: Machine) -> None:
    @knobs.get("/health")
    def health() -> Object:
        return {"ok": True}

    @knobs.get("/state")
    def get_state() -> Object:
        with machine.transaction() as store:
            return _by_kind(store)

    @knobs.post("/reset")
    def reset() -> Object:
        machine.faults.clear()
        with machine.state.transaction(machine.now()) as store:
            for table in TABLES:
                store.connection.execute(f"DELETE FROM {table}")
        machine.furnish()
        return {"ok": True}

    @knobs.post("/disputes")
    def dispute() -> Object:
        wanted = _checked({"charge": str, "reason": str})
        reason = wanted.get("reason", "fraudulent")
        if reason not in refunds.DISPUTE_REASONS:
            raise errors.invalid(f"reason is one of {', '.join(refunds.DISPUTE_REASONS)}", param="reason")
        with machine.transaction() as store:
            return refunds.dispute(store, wanted.get("charge", ""), reason)

    @knobs.post("/disputes/close")
    def close_dispute() -> Object:
        wanted = _checked({"dispute": str, "status": str})
        if wanted.get("status") not in refunds.CLOSED:
            raise errors.invalid("status is won or lost", param="status")
        with machine.transaction() as store:
            return refunds.close_dispute(store, wanted.get("dispute", ""), wanted["status"])

    @knobs.post("/settings")
    def settings() -> Object:
        wanted = _checked({"after_dunning": str, "draft_seconds": int})
        if wanted.get("after_dunning", "unpaid") not in ("unpaid", "cancel"):
            raise errors.invalid("after_dunning is unpaid or cancel", param="after_dunning")
        with machine.transaction() as store:
            for name, value in wanted.items():
                store.set_setting(name, value)
        return wanted


def _by_kind(store: Store) -> Object:
    kinds = store.connection.execute("SELECT DISTINCT kind FROM objects ORDER BY kind").fetchall()
    return {kind: list(reversed(store.find(kind))) for (kind,) in kinds}


def _checked(types: dict[str, Any]) -> dict[str, Any]:
    """The JSON body, if it has only these names with values of these types."""
    body = flask.request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise errors.invalid("the body must be a JSON object")
    for name, value in body.items():
        if name not in types:
            raise errors.invalid(f"there is no knob {name}", param=name, code="parameter_unknown")
        if not isinstance(value, types[name]):
            raise errors.invalid(f"{name} has the wrong type", param=name)
    return body


def _refused(refusal: errors.StripeError) -> tuple[Object, int]:
    return refusal.body("req_sandbox"), refusal.status
