"""Money that goes back: refunds, and disputes that a cardholder opens at the bank."""

from typing import Any

from sandbox.stripe import errors, events, listing, parameters
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id

DISPUTE_REASONS = ("fraudulent", "general", "duplicate", "product_not_received", "subscription_canceled")
CLOSED = ("won", "lost")
_EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def refund(store: Store, params: dict[str, Any]) -> Object:
    """:raises StripeError: 400 if nothing, or less than the amount, is left to refund, or the bank has it already"""
    before = _refundable(store, params)
    if before["disputed"] and not _is_won(store, before):
        message = f"Charge {before['id']} has been charged back; cannot issue a refund."
        raise errors.invalid(message, code="charge_disputed")
    left = before["amount"] - before["amount_refunded"]
    amount = params.get("amount", left)
    if left == 0:
        message = f"Charge {before['id']} has already been refunded."
        raise errors.invalid(message, code="charge_already_refunded")
    if not 0 < amount <= left:
        message = f"Refund amount ({amount}) must be positive and not greater than unrefunded amount ({left})."
        raise errors.invalid(message, param="amount")
    refunded = store.save(_refund(store, before, amount, params))
    after = {**before, "amount_refunded": before["amount_refunded"] + amount, "refunded": amount == left}
    store.save(after)
    events.record(store, "refund.created", refunded)
    events.record(store, "charge.refunded", after, before=before)
    return refunded


def list_refunds(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, charge="charge", payment_intent="payment_intent")
    wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}
    return listing.page(store.find("refund", **wanted), params, "/v1/refunds")


def refunds_of(store: Store, charge_object: Object) -> Object:
    found = store.find("refund", charge=charge_object["id"])
    return listing.listed(found, f"/v1/charges/{charge_object['id']}/refunds")


def dispute(store: Store, charge_id: str, reason: str) -> Object:
    """What happens when a cardholder complains to the bank: Stripe only tells of it."""
    charged = store.get("charge", charge_id, param="charge", status=400)
    if charged["disputed"] or not charged["paid"]:
        raise errors.invalid(f"Charge {charge_id} cannot be disputed.", param="charge")
    store.save({**charged, "disputed": True})
    created = store.save(_dispute(store, charged, reason))
    events.record(store, "charge.dispute.created", created)
    events.record(store, "charge.dispute.funds_withdrawn", created)
    return created


def close_dispute(store: Store, dispute_id: str, status: str) -> Object:
    """What the bank decides in the end."""
    before = store.get("dispute", dispute_id, param="dispute", status=400)
    if before["status"] in CLOSED:
        raise errors.invalid(f"Dispute {dispute_id} is closed already.", param="dispute")
    closed = store.save({**before, "status": status})
    if status == "won":
        events.record(store, "charge.dispute.funds_reinstated", closed)
    events.record(store, "charge.dispute.closed", closed, before=before)
    return closed


def list_disputes(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, charge="charge", payment_intent="payment_intent")
    wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}
    return listing.page(store.find("dispute", **wanted), params, "/v1/disputes")


def _refundable(store: Store, params: dict[str, Any]) -> Object:
    if "charge" in params:
        found = store.get("charge", params["charge"], param="charge", status=400)
    elif "payment_intent" in params:
        intent = store.get("payment_intent", params["payment_intent"], param="payment_intent", status=400)
        found = store.get("charge", intent["latest_charge"] or "", param="payment_intent", status=400)
    else:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise errors.invalid(message, code="parameter_missing")
    if not found["paid"]:
        raise errors.invalid(f"Charge {found['id']} was not paid.", param="charge")
    return found


def _is_won(store: Store, charged: Object) -> bool:
    return all(each["status"] == "won" for each in store.find("dispute", charge=charged["id"]))


def _refund(store: Store, charged: Object, amount: int, params: dict[str, Any]) -> Object:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charged["id"],
        "created": store.now,
        "currency": charged["currency"],
        "customer": charged["customer"],
        "customer_account": None,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": parameters.merged({}, params),
        "payment_intent": charged["payment_intent"],
        "payment_method": charged["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _dispute(store: Store, charged: Object, reason: str) -> Object:
    return {
        "id": new_id("dp"),
        "object": "dispute",
        "amount": charged["amount"],
        "balance_transactions": [],
        "charge": charged["id"],
        "created": store.now,
        "currency": charged["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": store.now + 10 * 24 * 3600,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charged["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": charged["payment_method_details"]["card"]["brand"],
                "case_type": "chargeback",
                "network": charged["payment_method_details"]["card"]["network"],
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


_REFUND = {
    "charge": str,
    "payment_intent": str,
    "amount": int,
    "reason": ("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": parameters.METADATA,
}
ROUTES = [
    Route("POST", "/v1/refunds", refund, _REFUND),
    Route("GET", "/v1/refunds", list_refunds, {**parameters.LISTING, "charge": str, "payment_intent": str}),
    Route("GET", "/v1/refunds/<object_id>", retrieve("refund")),
    Route("GET", "/v1/disputes", list_disputes, {**parameters.LISTING, "charge": str, "payment_intent": str}),
    Route("GET", "/v1/disputes/<object_id>", retrieve("dispute")),
]
INCLUDABLES: dict[tuple[str, str], listing.Includable] = {("charge", "refunds"): refunds_of}
