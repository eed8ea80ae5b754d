"""The pages a person clicks through, without JavaScript: Checkout, an invoice, the customer portal."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import flask

from sandbox.stripe import checkout, collection, errors, invoice_lines, payment_methods, pdf, portal
from sandbox.stripe.machine import Machine
from sandbox.stripe.state import Object, Store

Answer = flask.Response | tuple[str, int] | str
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def blueprint(machine: Machine) -> flask.Blueprint:
    pages = flask.Blueprint("pages", __name__, template_folder="templates")
    _add_checkout(pages, machine)
    _add_invoice(pages, machine)
    _add_portal(pages, machine)
    pages.add_app_template_filter(invoice_lines.money, "money")
    pages.add_app_template_filter(_day, "day")
    pages.register_error_handler(errors.StripeError, _missing)

    @pages.get("/")
    def home() -> str:
        return flask.render_template("home.html")

    @pages.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        return response

    return pages


def _add_checkout(pages: flask.Blueprint, machine: Machine) -> None:
    @pages.get("/checkout/<session_id>")
    def show_checkout(session_id: str) -> Answer:
        return _checkout_page(machine, session_id, None)

    @pages.post("/checkout/<session_id>")
    def pay_checkout(session_id: str) -> Answer:
        form = flask.request.form

        def pay(store: Store) -> None:
            session = store.get("checkout.session", session_id)
            checkout.complete(
                store,
                session,
                number=form.get("number", ""),
                email=form.get("email"),
                authenticated=form.get("authentication") == "complete",
            )

        refusal = _try(machine, pay)
        if refusal is not None:
            return _checkout_page(machine, session_id, refusal)
        with machine.transaction() as store:
            session = store.get("checkout.session", session_id)
        return _go(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id))


def _add_invoice(pages: flask.Blueprint, machine: Machine) -> None:
    @pages.get("/invoice/<invoice_id>")
    def show_invoice(invoice_id: str) -> Answer:
        return _invoice_page(machine, invoice_id, None)

    @pages.post("/invoice/<invoice_id>")
    def pay_invoice(invoice_id: str) -> Answer:
        form = flask.request.form

        def pay(store: Store) -> None:
            invoice = store.get("invoice", invoice_id)
            card = payment_methods.from_number(store, form.get("number", ""))
            card = payment_methods.attach_to(store, card, invoice["customer"])
            authenticated = form.get("authentication") == "complete"
            collection.collect(store, invoice, payment_method=card, authenticated=authenticated)

        refusal = _try(machine, pay)
        if refusal is not None:
            return _invoice_page(machine, invoice_id, refusal)
        return _go(flask.url_for("pages.show_invoice", invoice_id=invoice_id))

    @pages.get("/invoice/<invoice_id>/pdf")
    def show_pdf(invoice_id: str) -> Answer:
        with machine.transaction() as store:
            invoice = store.get("invoice", invoice_id)
        return flask.Response(pdf.document(_invoice_text(invoice)), mimetype="application/pdf")


def _add_portal(pages: flask.Blueprint, machine: Machine) -> None:
    @pages.get("/portal/<secret>")
    def show_portal(secret: str) -> Answer:
        return _portal_page(machine, secret, None)

    @pages.post("/portal/<secret>/card")
    def change_card(secret: str) -> Answer:
        number = flask.request.form.get("number", "")

        def change(store: Store) -> None:
            portal.change_card(store, portal.session_by_secret(store, secret), number)

        return _portal_after(machine, secret, change, "card")

    @pages.post("/portal/<secret>/subscriptions/<subscription_id>/<action>")
    def change_subscription(secret: str, subscription_id: str, action: str) -> Answer:
        if action not in ("cancel", "keep"):
            flask.abort(404)

        def change(store: Store) -> None:
            session = portal.session_by_secret(store, secret)
            portal.set_cancel_at_period_end(store, session, subscription_id, action == "cancel")

        return _portal_after(machine, secret, change, action)


def _try(machine: Machine, work: Callable[[Store], None]) -> errors.StripeError | None:
    """Do it; the refusal if there was one, with what a refusal keeps on record."""
    try:
        with machine.transaction() as store:
            try:
                work(store)
            except errors.StripeError as refusal:
                if refusal.keeps_changes:
                    return refusal
                raise
    except errors.StripeError as refusal:
        return refusal
    return None


def _checkout_page(machine: Machine, session_id: str, refusal: errors.StripeError | None) -> Answer:
    with machine.transaction() as store:
        session = store.get("checkout.session", session_id)
        line = checkout.line_items(store, session)["data"][0]
    if session["status"] != "open":
        return flask.render_template("checkout_closed.html", session=session, line=line)
    return _page("checkout.html", refusal, session=session, line=line)


def _invoice_page(machine: Machine, invoice_id: str, refusal: errors.StripeError | None) -> Answer:
    with machine.transaction() as store:
        invoice = store.get("invoice", invoice_id)
    if invoice["status"] == "draft":
        raise errors.missing("invoice", invoice_id)
    return _page("invoice.html", refusal, invoice=invoice)


def _portal_page(machine: Machine, secret: str, refusal: errors.StripeError | None) -> Answer:
    with machine.transaction() as store:
        session = portal.session_by_secret(store, secret)
        features = store.get("billing_portal.configuration", session["configuration"])["features"]
        found = portal.current_subscriptions(store, session)
        shown = [
            {**each, "name": invoice_lines.product_name(store, each["items"]["data"][0]["price"])} for each in found
        ]
        return _page(
            "portal.html",
            refusal,
            secret=secret,
            session=session,
            features=features,
            customer=store.get("customer", session["customer"]),
            subscriptions=shown,
            card=portal.card_in_use(store, session),
            invoices=[each for each in store.find("invoice", customer=session["customer"]) if each["number"]],
            done=flask.request.args.get("done"),
        )


def _portal_after(machine: Machine, secret: str, change: Callable[[Store], None], done: str) -> Answer:
    refusal = _try(machine, change)
    if refusal is not None:
        return _portal_page(machine, secret, refusal)
    return _go(flask.url_for("pages.show_portal", secret=secret, done=done))


def _page(template: str, refusal: errors.StripeError | None, **shown: Any) -> Answer:
    """The page, with the refusal as a message, and a step to authenticate where that is what is missing."""
    needs_authentication = (
        refusal is not None
        and refusal.details.get("code") == "authentication_required"
        and flask.request.form.get("authentication") is None
    )
    text = flask.render_template(
        template,
        refusal=None if needs_authentication else refusal,
        needs_authentication=needs_authentication,
        form=flask.request.form,
        **shown,
    )
    return text, refusal.status if refusal else 200


def _missing(refusal: errors.StripeError) -> Answer:
    return flask.render_template("missing.html"), refusal.status


def _go(url: str) -> flask.Response:
    return flask.Response(status=303, headers={"Location": url})


def _invoice_text(invoice: Object) -> list[str]:
    def money(cents: int) -> str:
        return invoice_lines.money(cents, invoice["currency"])

    return [
        "STRIPE SANDBOX: no money moves, this is not a real invoice",
        "",
        f"Invoice {invoice['number'] or invoice['id']}",
        f"Date {_day(invoice['created'])}",
        f"Status {invoice['status']}",
        f"Customer {invoice['customer_name'] or invoice['customer_email'] or invoice['customer']}",
        "",
        *(f"{money(line['amount']):>14}   {line['description']}" for line in invoice["lines"]["data"]),
        "",
        f"{money(invoice['total']):>14}   Total",
        f"{money(invoice['total'] - invoice['amount_due']):>14}   From the credit balance",
        f"{money(invoice['amount_due']):>14}   Amount due",
        f"{money(invoice['amount_paid']):>14}   Paid",
    ]


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%-d %B %Y")
