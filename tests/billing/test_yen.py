"""A currency without hundredths, from Checkout over an upgrade to the invoice: amounts are whole yen everywhere."""

from dataclasses import replace

import pytest
import requests

from tests.billing.conftest import BAD, PLANS, open_doors


@pytest.fixture
def yen(billing, tmp_path):
    """Everything is sold in yen: Starter for 1,900, Growth for 4,900."""
    client = billing.stripe.client().v1
    for plan, amount in (("starter", 1900), ("growth", 4900)):
        client.prices.create(
            {
                "product": f"prod_{plan}",
                "currency": "jpy",
                "unit_amount": amount,
                "recurring": {"interval": "month"},
                "lookup_key": f"{plan}_monthly",
                "transfer_lookup_key": True,
            }
        )
    file = tmp_path / "yen.toml"
    file.write_text(PLANS.replace('"usd"', '"jpy"'))
    settings = replace(billing.settings, catalogue_file=file)
    return replace(billing, settings=settings, doors=open_doors(settings, billing.database))


def see(url):
    return requests.get(url, timeout=10)


class TestYen:
    def test_are_not_divided_on_the_checkout_page(self, yen):
        page = see(yen.tell("change_plan", plan="starter")["checkout_url"]).text

        assert "1,900 JPY" in page
        assert "19.00" not in page

    def test_are_charged_for_an_upgrade_as_its_preview_said(self, yen):
        yen.subscribe("starter")
        yen.set_clock("2026-04-16T00:00:00Z")
        shown = yen.ask("preview", plan="growth")

        yen.tell("change_plan", plan="growth")

        assert (shown["currency"], shown["price_today_cents"]) == ("jpy", 1500)
        invoice = yen.ask("list_invoices")["invoices"][0]
        assert (invoice["currency"], invoice["total_cents"], invoice["status"]) == ("jpy", 1500, "paid")

    def test_are_rounded_to_whole_ones(self, yen):
        yen.subscribe("starter")
        yen.set_clock("2026-04-11T00:00:01Z")

        yen.tell("change_plan", plan="growth")

        assert yen.ask("list_invoices")["invoices"][0]["total_cents"] == 3267 - 1267

    def test_stand_on_the_invoice_and_its_pdf(self, yen):
        yen.subscribe("starter")
        yen.set_clock("2026-04-16T00:00:00Z")
        yen.tell("change_plan", plan="growth")
        invoice = yen.ask("list_invoices")["invoices"][0]

        page, pdf = see(invoice["url"]).text, see(invoice["pdf_url"]).content

        assert "1,500 JPY" in page
        assert "-950 JPY" in page
        assert b"1,500 JPY" in pdf
        assert "15.00" not in page

    def test_are_credited_for_a_downgrade_and_pay_the_renewal(self, yen):
        yen.subscribe("growth")
        yen.set_clock("2026-04-16T00:00:00Z")
        yen.tell("change_plan", plan="starter")

        yen.set_clock("2026-05-01T00:00:00Z")

        renewal = yen.ask("list_invoices")["invoices"][0]
        assert (renewal["total_cents"], renewal["amount_due_cents"]) == (1900, 400)
        (customer,) = yen.stripe.client().v1.customers.list().data
        assert (customer.currency, customer.balance) == ("jpy", 0)

    def test_are_owed_on_the_page_where_a_declined_upgrade_can_be_paid(self, yen):
        yen.subscribe("starter")
        yen.use_card(BAD)
        yen.set_clock("2026-04-16T00:00:00Z")

        with pytest.raises(Exception, match="card_declined") as refusal:
            yen.tell("change_plan", plan="growth")

        assert "1,500 JPY" in see(refusal.value.details["payment_url"]).text
