"""
What people do to a subscription in a year: the org's owner and programs over the API and on Stripe's pages, and
somebody at Stripe's dashboard. What is refused is refused; only an answer that nobody described is a fault.
"""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import stripe as stripe_sdk

from ops import client
from tests.stack.stacks import GOOD_CARD
from tests.stack.year_programme import Tenant, Work, Year

PLANS = ("free", "starter", "growth", "scale")
FAILS_LATER, ASKS_BANK, DECLINED = "4000000000000341", "4000002500003155", "4000000000000002"
CARDS = {GOOD_CARD: 6, FAILS_LATER: 2, ASKS_BANK: 1, DECLINED: 1}
TOKENS = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")

Deed = Callable[[Tenant, random.Random], None]


def change_plan(tenant: Tenant, chance: random.Random) -> None:
    """And pay for it where that is asked, or not."""
    body = {"plan": chance.choice(PLANS), **chance.choice([{}, {}, {"at": "now"}, {"at": "period_end"}])}
    _see_to(tenant, chance, tenant.tell("PUT", "/v1/subscription", body))


def buy(tenant: Tenant, chance: random.Random) -> None:
    """A dearer plan than the one there is."""
    subscription = _look(tenant)
    if subscription and subscription["plan"] != PLANS[-1]:
        dearer = PLANS[PLANS.index(subscription["plan"]) + 1 :]
        _see_to(tenant, chance, tenant.tell("PUT", "/v1/subscription", {"plan": chance.choice(dearer)}))


def cancel(tenant: Tenant, chance: random.Random) -> None:
    tenant.tell("DELETE", f"/v1/subscription{chance.choice(['', '?at=now', '?at=period_end'])}")


def withdraw(tenant: Tenant, _chance: random.Random) -> None:
    tenant.tell("DELETE", "/v1/subscription/scheduled-change")


def preview(tenant: Tenant, chance: random.Random) -> None:
    tenant.ask("POST", "/v1/subscription/preview", {"plan": chance.choice(PLANS)})


def repeat_the_last_command(tenant: Tenant, _chance: random.Random) -> None:
    if tenant.last is not None:
        method, path, body, key = tenant.last
        tenant.tell(method, path, body, key=key)


def ask_twice_at_once(tenant: Tenant, chance: random.Random) -> None:
    """In two tabs, each with a key of its own."""
    with ThreadPoolExecutor(2) as tabs:
        for tab in [tabs.submit(change_plan, tenant, random.Random(chance.random())) for _ in range(2)]:
            tab.result()


def pay_in_two_tabs(tenant: Tenant, chance: random.Random) -> None:
    """Every Checkout page that was ever shown, at once: the former, and the last one twice."""
    answer = tenant.tell("PUT", "/v1/subscription", {"plan": chance.choice(PLANS[1:])})
    if answer is not None and answer.status_code == 202 and "checkout_url" in answer.json():
        tenant.pages.append(answer.json()["checkout_url"])
    with ThreadPoolExecutor(3) as tabs:
        list(tabs.map(lambda page: pay(page, GOOD_CARD), [*tenant.pages[-2:], *tenant.pages[-1:]]))


def pay_what_is_open(tenant: Tenant, chance: random.Random) -> None:
    """By the page that the subscription names, or by the list of invoices."""
    subscription = _look(tenant)
    if not subscription or not subscription["payment_problem"]:
        return
    url = subscription["payment_problem"]["payment_url"]
    if url:
        pay(url, _card(chance))
    listed = tenant.ask("GET", "/v1/invoices?limit=100")
    if listed is not None and listed.status_code == 200:
        for invoice in listed.json()["data"]:
            if invoice["status"] == "open":
                pay(invoice["url"], _card(chance))


def change_the_card(tenant: Tenant, chance: random.Random) -> None:
    """In the portal."""
    answer = tenant.tell("POST", "/v1/billing-portal")
    if answer is not None and answer.status_code == 200:
        pay(f"{answer.json()['url']}/card", _card(chance))


def send_messages(tenant: Tenant, chance: random.Random) -> None:
    for bot in _bots(tenant)[:3]:
        for _ in range(chance.randint(1, 4)):
            tenant.use("POST", "/v1/messages", {"bot_id": bot["id"]})


def add_bots(tenant: Tenant, chance: random.Random) -> None:
    if len(_bots(tenant)) < 14:  # more than Growth has room for
        for number in range(chance.randint(1, 4)):
            tenant.tell("POST", "/v1/bots", {"name": f"Bot {number}"})


def pause_or_resume_a_bot(tenant: Tenant, chance: random.Random) -> None:
    bots = _bots(tenant)
    if bots:
        tenant.tell("POST", f"/v1/bots/{chance.choice(bots)['id']}/{chance.choice(['pause', 'resume', 'resume'])}")


def cancel_at_stripe(tenant: Tenant, _chance: random.Random) -> None:
    for api, subscription in _subscriptions(tenant):
        api.v1.subscriptions.cancel(subscription.id)


def schedule_the_end_at_stripe(tenant: Tenant, chance: random.Random) -> None:
    for api, subscription in _subscriptions(tenant):
        api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": chance.random() < 0.5})


def change_the_price_at_stripe(tenant: Tenant, chance: random.Random) -> None:
    behaviour: Any = {"proration_behavior": chance.choice(["create_prorations", "none", "always_invoice"])}
    for api, subscription in _subscriptions(tenant):
        item = {"id": subscription["items"].data[0].id, "price": _price(api, chance.choice(PLANS[1:]))}
        api.v1.subscriptions.update(subscription.id, {"items": [item], **behaviour})


def delete_the_customer(tenant: Tenant, _chance: random.Random) -> None:
    if tenant.customer_id:
        _sdk(tenant.year).v1.customers.delete(tenant.customer_id)


def refund(tenant: Tenant, chance: random.Random) -> None:
    for api, charge in _charges(tenant)[:1]:
        amount: Any = chance.choice([{}, {"amount": max(1, charge.amount // 3)}])
        api.v1.refunds.create({"charge": charge.id, **amount})


def dispute(tenant: Tenant, chance: random.Random) -> None:
    """The cardholder complains, or the bank decides on an earlier complaint."""
    for api, charge in _charges(tenant)[:1]:
        open_ = [each for each in api.v1.disputes.list({"charge": charge.id}).data if each.status == "needs_response"]
        if open_:
            closed = {"dispute": open_[0].id, "status": chance.choice(["won", "lost"])}
            tenant.year.stack.stripe("disputes/close", closed)
        elif not charge.disputed:
            tenant.year.stack.stripe("disputes", {"charge": charge.id})


def replace_the_card_at_stripe(tenant: Tenant, chance: random.Random) -> None:
    for api, subscription in _subscriptions(tenant):
        card = api.v1.payment_methods.attach(chance.choice(TOKENS), {"customer": tenant.customer_id})
        api.v1.subscriptions.update(subscription.id, {"default_payment_method": card.id})


def sell_a_second_subscription(tenant: Tenant, chance: random.Random) -> None:
    """Somebody at the dashboard sends a link to a Checkout page of their own, and it is paid."""
    if not tenant.customer_id:
        return
    api = _sdk(tenant.year)
    session = api.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": tenant.customer_id,
            "line_items": [{"price": _price(api, chance.choice(PLANS[1:])), "quantity": 1}],
            "success_url": f"{tenant.year.stack.url}/billing",
        }
    )
    pay(str(session.url), GOOD_CARD)


BY_PEOPLE: dict[Deed, float] = {
    change_plan: 6,
    buy: 6,
    cancel: 2,
    withdraw: 2,
    preview: 1,
    repeat_the_last_command: 2,
    ask_twice_at_once: 1,
    pay_in_two_tabs: 2,
    pay_what_is_open: 5,
    change_the_card: 3,
    send_messages: 3,
    add_bots: 3,
    pause_or_resume_a_bot: 2,
}
AT_STRIPE: dict[Deed, float] = {
    cancel_at_stripe: 2,
    schedule_the_end_at_stripe: 2,
    change_the_price_at_stripe: 2,
    delete_the_customer: 1,
    refund: 2,
    dispute: 2,
    replace_the_card_at_stripe: 3,
    sell_a_second_subscription: 1,
}
STRIPES_SHARE = 0.2


def choose(year: Year, count: int) -> list[Work]:
    """So many deeds, each of an org by chance; two may well be of the same."""
    return [_deed(year) for _ in range(count)]


def _deed(year: Year) -> Work:
    chance = random.Random(year.chance.random())
    tenant = chance.choice(year.tenants)
    weighed = AT_STRIPE if chance.random() < STRIPES_SHARE else BY_PEOPLE
    (deed,) = chance.choices([*weighed], weights=[*weighed.values()])

    def do() -> None:
        year.done[deed.__name__.replace("_", " ")] += 1
        try:
            deed(tenant, chance)
        except stripe_sdk.StripeError as refusal:  # it fails for the dashboard too, or somebody was faster
            year.done[f"refused: {type(refusal).__name__}"] += 1

    return do


def pay(url: str, number: str) -> None:
    """A person fills in a page of Stripe's: as often as the bank wants, and no more."""
    form = {"number": number}
    for more in ({}, {"authentication": "complete"}):
        answer = requests.post(url, data={**form, **more}, allow_redirects=False, timeout=client.TIMEOUT_SECONDS)
        assert answer.status_code < 500, answer.text
        if "authentication" not in answer.text:
            return


def _see_to(tenant: Tenant, chance: random.Random, answer: requests.Response | None) -> None:
    """Pay where that is asked for, mostly; and look at what became of what was not known yet."""
    if answer is None or answer.status_code not in (202, 402):
        return
    told = answer.json()
    if "checkout_url" in told:
        tenant.pages.append(told["checkout_url"])
        if chance.random() < 0.8:
            pay(told["checkout_url"], _card(chance))
    elif "status_url" in told:
        tenant.ask("GET", told["status_url"])
    elif told.get("payment_url") and chance.random() < 0.5:
        pay(told["payment_url"], _card(chance))


def _look(tenant: Tenant) -> dict[str, Any] | None:
    answer = tenant.ask("GET", "/v1/subscription")
    return answer.json() if answer is not None and answer.status_code == 200 else None


def _bots(tenant: Tenant) -> list[dict[str, Any]]:
    answer = tenant.use("GET", "/v1/bots?limit=100")
    return list(answer.json()["data"]) if answer is not None and answer.status_code == 200 else []


def _card(chance: random.Random) -> str:
    (number,) = chance.choices([*CARDS], weights=[*CARDS.values()])
    return number


def _sdk(year: Year) -> stripe_sdk.StripeClient:
    """Stripe as somebody in its dashboard uses it."""
    environment = year.stack.environment
    return stripe_sdk.StripeClient(
        environment["STRIPE_API_KEY"],
        base_addresses={"api": environment["STRIPE_API_BASE"]},
        max_network_retries=0,
    )


def _subscriptions(tenant: Tenant) -> list[tuple[stripe_sdk.StripeClient, Any]]:
    """The one that lives, if there is one."""
    api = _sdk(tenant.year)
    found = api.v1.subscriptions.list({"customer": tenant.customer_id}).data if tenant.customer_id else []
    return [(api, each) for each in found[:1]]


def _charges(tenant: Tenant) -> list[tuple[stripe_sdk.StripeClient, Any]]:
    api = _sdk(tenant.year)
    found = api.v1.charges.list({"customer": tenant.customer_id}).data if tenant.customer_id else []
    return [(api, each) for each in found if each.paid and not each.refunded]


def _price(api: stripe_sdk.StripeClient, plan: str) -> str:
    return str(api.v1.prices.list({"lookup_keys": [f"chatness_{plan}_monthly"]}).data[0].id)
