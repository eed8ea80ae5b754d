"""
What a Stripe account must hold before anybody can pay: from what is there and the catalogue, the steps that are
missing. Pure.

Nothing is ever deleted or archived, and nothing is taken from what somebody added. A price cannot be changed at
Stripe: one of another amount is followed by a new one, which takes the lookup key. The old one keeps its subscribers,
and a note of the plan, by which they are still known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.billing.catalogue import Catalogue, Plan

MARK, PLAN = "chatness", "chatness_plan"  # names of metadata
WEBHOOK_PATH = "/v1/stripe/webhook"
# Of the customer portal. What changes a plan belongs to Billing Management, which knows the limits.
FEATURES = {
    "customer_update": False,
    "invoice_history": True,
    "payment_method_update": True,
    "subscription_cancel": False,
    "subscription_pause": False,
    "subscription_update": False,
}
EVERYTHING = "*"
EVENTS = frozenset(
    {
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.refunded",
        "checkout.session.async_payment_failed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.completed",
        "checkout.session.expired",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.pending_update_applied",
        "customer.subscription.pending_update_expired",
        "customer.subscription.resumed",
        "customer.subscription.updated",
        "invoice.finalization_failed",
        "invoice.finalized",
        "invoice.marked_uncollectible",
        "invoice.paid",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "invoice.updated",
        "invoice.voided",
    }
)


@dataclass(frozen=True, kw_only=True)
class Price:
    """
    :param cents: None where it is no single amount
    :param interval: `month` for one month; otherwise what Stripe says, empty for a price that is paid once
    :param plan: the plan that is noted on it
    """

    id: str
    product_id: str
    cents: int | None
    currency: str
    interval: str
    active: bool
    plan: str

    def costs(self, plan: Plan) -> bool:
        return (self.cents, self.currency, self.interval) == (plan.price_cents, plan.currency.lower(), "month")

    def __str__(self) -> str:
        amount = "no single amount" if self.cents is None else f"{self.cents} {self.currency}"
        return f"{amount} each {self.interval}" if self.interval else f"{amount} once"


@dataclass(frozen=True, kw_only=True)
class Product:
    id: str
    name: str
    active: bool


@dataclass(frozen=True, kw_only=True)
class Portal:
    """:param features: which of `FEATURES` are on"""

    id: str
    active: bool
    return_url: str
    features: Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    id: str
    enabled: bool
    events: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Account:
    """
    :param prices: by lookup key
    :param products: by id
    :param endpoint: the one at our address
    """

    prices: Mapping[str, Price]
    products: Mapping[str, Product]
    portal: Portal | None
    endpoint: Endpoint | None


@dataclass(frozen=True, kw_only=True)
class CreateProduct:
    product_id: str
    name: str

    def __str__(self) -> str:
        return f"create the product {self.product_id}, named {self.name}"


@dataclass(frozen=True, kw_only=True)
class UpdateProduct:
    product_id: str
    name: str
    why: str

    def __str__(self) -> str:
        return f"the product {self.product_id} {self.why}: name it {self.name}, and make it active"


@dataclass(frozen=True, kw_only=True)
class NotePlan:
    price_id: str
    plan_id: str

    def __str__(self) -> str:
        return f"note on the price {self.price_id} that it is of the plan {self.plan_id}"


@dataclass(frozen=True, kw_only=True)
class ActivatePrice:
    price_id: str

    def __str__(self) -> str:
        return f"the price {self.price_id} is archived: make it active again"


@dataclass(frozen=True, kw_only=True)
class CreatePrice:
    """:param replaces: the price that has the lookup key now; None for none"""

    plan: Plan
    product_id: str
    replaces: Price | None

    def __str__(self) -> str:
        wanted = f"{self.plan.price_cents} {self.plan.currency} each month"
        if self.replaces is None:
            return f"create the price of {self.plan.name}: {wanted}, with the lookup key {self.plan.lookup_key}"
        return (
            f"the price {self.replaces.id} of {self.plan.name} is {self.replaces}, and the catalogue says {wanted}: "
            f"create a new one, which takes the lookup key {self.plan.lookup_key}; who pays the old one goes on so"
        )


@dataclass(frozen=True, kw_only=True)
class CreatePortal:
    return_url: str

    def __str__(self) -> str:
        return "create a configuration of the customer portal: cards and invoices, no change of plan"


@dataclass(frozen=True, kw_only=True)
class UpdatePortal:
    configuration_id: str
    return_url: str
    why: str

    def __str__(self) -> str:
        return f"the customer portal {self.configuration_id} {self.why}: set it right"


@dataclass(frozen=True, kw_only=True)
class CreateEndpoint:
    url: str

    def __str__(self) -> str:
        return f"create a webhook endpoint at {self.url} for {len(EVENTS)} kinds of events"


@dataclass(frozen=True, kw_only=True)
class UpdateEndpoint:
    endpoint_id: str
    events: frozenset[str]
    why: str

    def __str__(self) -> str:
        return f"the webhook endpoint {self.endpoint_id} {self.why}: set it right"


Step = (
    CreateProduct
    | UpdateProduct
    | NotePlan
    | ActivatePrice
    | CreatePrice
    | CreatePortal
    | UpdatePortal
    | CreateEndpoint
    | UpdateEndpoint
)


def sold(plans: Catalogue) -> list[Plan]:
    """The plans that need something at Stripe."""
    return [plan for plan in plans.plans if plan.lookup_key]


def product_id(plan: Plan) -> str:
    """Of a product that we make: a fixed one, so that it cannot be made twice."""
    return f"chatness_{plan.id}"


def steps(account: Account, plans: Catalogue, public_url: str) -> list[Step]:
    """What is to be done, in this order; nothing if the account is as it should be."""
    found: list[Step] = []
    for plan in sold(plans):
        found += _of_plan(account, plan)
    found += _of_portal(account.portal, f"{public_url}/billing")
    found += _of_endpoint(account.endpoint, f"{public_url}{WEBHOOK_PATH}")
    return found


def _of_plan(account: Account, plan: Plan) -> Iterator[Step]:
    price = account.prices.get(plan.lookup_key)
    product = account.products.get(price.product_id if price else product_id(plan))
    if product is None:
        yield CreateProduct(product_id=product_id(plan), name=plan.name)
    else:
        yield from _of_product(product, plan)
    if price is not None and price.plan != plan.id:
        yield NotePlan(price_id=price.id, plan_id=plan.id)
    if price is None or not price.costs(plan):
        sold_as = product.id if product else product_id(plan)
        yield CreatePrice(plan=plan, product_id=sold_as, replaces=price)
    elif not price.active:
        yield ActivatePrice(price_id=price.id)


def _of_product(product: Product, plan: Plan) -> Iterator[Step]:
    """What somebody made by hand may be sold as several plans, so that its name is theirs."""
    name = plan.name if product.id == product_id(plan) else product.name
    wrong = [] if product.active else ["is archived"]
    if product.name != name:
        wrong.append(f"is named {product.name}")
    if wrong:
        yield UpdateProduct(product_id=product.id, name=name, why=" and ".join(wrong))


def _of_portal(portal: Portal | None, return_url: str) -> Iterator[Step]:
    if portal is None:
        yield CreatePortal(return_url=return_url)
        return
    wrong = [f"has {name} {_on(is_on)}" for name, is_on in sorted(portal.features.items()) if is_on != FEATURES[name]]
    if not portal.active:
        wrong.append("is not active")
    if portal.return_url != return_url:
        wrong.append(f"leads back to {portal.return_url or 'nowhere'}")
    if wrong:
        yield UpdatePortal(configuration_id=portal.id, return_url=return_url, why=", ".join(wrong))


def _of_endpoint(endpoint: Endpoint | None, url: str) -> Iterator[Step]:
    if endpoint is None:
        yield CreateEndpoint(url=url)
        return
    missing = frozenset() if EVERYTHING in endpoint.events else EVENTS - endpoint.events
    wrong = [] if endpoint.enabled else ["is disabled"]
    if missing:
        wrong.append(f"does not get {', '.join(sorted(missing))}")
    if wrong:
        yield UpdateEndpoint(endpoint_id=endpoint.id, events=endpoint.events | missing, why=" and ".join(wrong))


def _on(is_on: bool) -> str:
    return "on" if is_on else "off"
