"""
An invoice as a draft, and its sums.

What a customer owes is the invoice's total and the customer's balance together. What is left below zero stays on the
balance as credit; what is too little to be charged stays there as debt, for the next invoice.
"""

from sandbox.stripe import listing
from sandbox.stripe.state import Object, Store, new_id

LEAST_CHARGE = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50}
"""Stripe's minimum for a charge, in the smallest unit."""


def new(
    store: Store,
    subscription: Object,
    lines: list[Object],
    *,
    reason: str,
    period: tuple[int, int],
    invoice_id: str | None = None,
) -> Object:
    """An invoice as a draft, stored nowhere yet."""
    customer = store.get("customer", subscription["customer"])
    invoice_id = invoice_id or new_id("in")
    held = [{**line, "invoice": invoice_id} for line in lines]
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Stripe sandbox",
        "account_tax_ids": None,
        **amounts(held, customer["balance"], subscription["currency"]),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": store.now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listing.listed(held, f"/v1/invoices/{invoice_id}/lines"),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": subscription["metadata"], "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": period[1],
        "period_start": period[0],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": None,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


def amounts(lines: list[Object], balance: int, currency: str) -> Object:
    """The sums of an invoice over these lines for a customer with this balance (cents, negative is credit)."""
    total = sum(line["amount"] for line in lines)
    due = total + balance if total + balance >= LEAST_CHARGE.get(currency, 1) else 0
    return {
        "amount_due": due,
        "amount_remaining": due,
        "starting_balance": balance,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }
