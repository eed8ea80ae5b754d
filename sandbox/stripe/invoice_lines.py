"""Lines of an invoice: a period of a plan, and the two halves of a change in its middle."""

from datetime import UTC, datetime

from sandbox.stripe import proration
from sandbox.stripe.state import Object, Store, new_id

# Stripe's "zero-decimal currencies": an amount is in whole units of them.
WITHOUT_HUNDREDTHS = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf")
)


def period_line(store: Store, subscription: Object, item: Object, *, start: int, end: int) -> Object:
    """A whole period of the item's price."""
    price, quantity = item["price"], item["quantity"]
    name = product_name(store, price)
    return _line(
        subscription,
        item,
        amount=price["unit_amount"] * quantity,
        description=f"{quantity} x {name} (at {money(price['unit_amount'], price['currency'])} / month)",
        period=(start, end),
        proration=False,
    )


def proration_lines(store: Store, subscription: Object, old: Object, new: Object, at: int) -> list[Object]:
    """The credit for the time not used at the old price, and the rest of the period at the new one."""
    credit, charge = credit_line(store, subscription, old, at), _remaining_line(store, subscription, new, at)
    return [credit, charge]


def credit_line(store: Store, subscription: Object, item: Object, at: int) -> Object:
    """The credit for the time not used, as a negative amount."""
    name = f"Unused time on {product_name(store, item['price'])} after {_day(at)}"
    return _line(
        subscription,
        item,
        amount=-_remaining_cents(item, at),
        description=name,
        period=(at, item["current_period_end"]),
        proration=True,
    )


def changes(old: Object, new: Object) -> bool:
    return bool(old["price"]["id"] != new["price"]["id"] or old["quantity"] != new["quantity"])


def product_name(store: Store, price: Object) -> str:
    return str(store.get("product", price["product"])["name"])


def money(amount: int, currency: str) -> str:
    """`$19.00`, or `19.00 EUR` for a currency without a sign of its own here; in yen `1,900 JPY`."""
    sign, whole = "-" if amount < 0 else "", abs(amount)
    in_hundredths = currency not in WITHOUT_HUNDREDTHS
    written = f"{whole // 100:,}.{whole % 100:02}" if in_hundredths else f"{whole:,}"
    return f"{sign}${written}" if currency == "usd" else f"{sign}{written} {currency.upper()}"


def _remaining_line(store: Store, subscription: Object, item: Object, at: int) -> Object:
    name = f"Remaining time on {product_name(store, item['price'])} after {_day(at)}"
    return _line(
        subscription,
        item,
        amount=_remaining_cents(item, at),
        description=name,
        period=(at, item["current_period_end"]),
        proration=True,
    )


def _remaining_cents(item: Object, at: int) -> int:
    amount = item["price"]["unit_amount"] * item["quantity"]
    start, end = item["current_period_start"], item["current_period_end"]
    return proration.prorated_cents(amount, start=start, end=end, at=at)


def _line(
    subscription: Object,
    item: Object,
    *,
    amount: int,
    description: str,
    period: tuple[int, int],
    proration: bool,
) -> Object:
    price = item["price"]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": description,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": subscription["metadata"],
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": new_id("ii") if proration else None,
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "quantity_decimal": str(item["quantity"]),
        "subscription": subscription["id"],
        "subtotal": amount,
        "taxes": [],
    }


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%-d %b %Y")
