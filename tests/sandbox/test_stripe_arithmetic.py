"""Periods, part periods, form parameters and signatures: the pure parts of the Stripe sandbox."""

from contextlib import suppress

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import deliveries, errors, parameters, proration, webhooks
from sandbox.stripe.parameters import Required, Unset
from tests.sandbox.stripe_process import unix

pytestmark = pytest.mark.pure
START, END = unix("2026-04-01T00:00:00Z"), unix("2026-05-01T00:00:00Z")

SHAPE = {
    "customer": Required(str),
    "items": [{"price": str, "quantity": parameters.QUANTITY}],
    "paid": bool,
    "mode": Unset(("one", "two")),
    "name": str,
    "metadata": parameters.METADATA,
    "created": parameters.MOMENTS,
    "expand": [str],
}


class TestProratedCents:
    @pytest.mark.parametrize(
        "moment,cents",
        [
            ("2026-04-01T00:00:00Z", 1900),
            ("2026-04-16T00:00:00Z", 950),
            ("2026-04-30T23:59:59Z", 0),
            ("2026-05-01T00:00:00Z", 0),
            ("2026-05-02T00:00:00Z", 0),
        ],
    )
    def test_is_what_is_left_of_the_period(self, moment, cents):
        assert proration.prorated_cents(1900, start=START, end=END, at=unix(moment)) == cents

    def test_rounds_half_a_cent_up(self):
        assert proration.prorated_cents(1, start=0, end=2, at=1) == 1

    @given(amount=st.integers(0, 10**7), used=st.integers(0, END - START))
    def test_never_differs_from_the_exact_share_by_more_than_half_a_cent(self, amount, used):
        cents = proration.prorated_cents(amount, start=START, end=END, at=START + used)

        assert abs(2 * cents * (END - START) - 2 * amount * (END - START - used)) <= END - START


class TestNextPeriodEnd:
    def test_keeps_the_anchors_day_after_a_short_month(self):
        anchor = unix("2026-01-31T12:00:00Z")

        february = proration.months_after(anchor, 1)
        march = proration.next_period_end(anchor, february)

        assert (february, march) == (unix("2026-02-28T12:00:00Z"), unix("2026-03-31T12:00:00Z"))

    def test_knows_the_leap_day(self):
        assert proration.months_after(unix("2028-01-30T00:00:00Z"), 1) == unix("2028-02-29T00:00:00Z")

    @given(anchor=st.integers(0, 2**31), months=st.integers(0, 600))
    def test_goes_on_exactly_where_the_anchors_months_say(self, anchor, months):
        end = proration.months_after(anchor, months)

        assert proration.next_period_end(anchor, end) == proration.months_after(anchor, months + 1)


class TestCheck:
    def test_reads_what_stripes_sdk_writes(self):
        form = (
            "customer=cus_1&items[0][price]=price_1&items[0][quantity]=2&items[1][price]=price_2&paid=true"
            "&metadata[org]=o%26p&created[gte]=5&expand[]=a&expand[]=b.c"
        )

        assert parameters.check(parameters.decode(form), SHAPE) == {
            "customer": "cus_1",
            "items": [{"price": "price_1", "quantity": 2}, {"price": "price_2"}],
            "paid": True,
            "metadata": {"org": "o&p"},
            "created": {"gte": 5},
            "expand": ["a", "b.c"],
        }

    def test_keeps_the_order_of_more_than_ten_items(self):
        form = "customer=c&" + "&".join(f"expand[{index}]={index}" for index in range(12))

        assert parameters.check(parameters.decode(form), SHAPE)["expand"] == [str(i) for i in range(12)]

    def test_reads_an_empty_value_as_unset_where_that_may_be(self):
        assert parameters.check(parameters.decode("customer=c&mode="), SHAPE)["mode"] is None

    @pytest.mark.parametrize(
        "form,param,code",
        [
            ("customer=c&colour=red", "colour", "parameter_unknown"),
            ("customer=c&items[0][colour]=red", "items[0][colour]", "parameter_unknown"),
            ("paid=true", "customer", "parameter_missing"),
            ("customer=", "customer", "parameter_missing"),
            ("customer=c&items[0][quantity]=two", "items[0][quantity]", "parameter_invalid_integer"),
            ("customer=c&items[0][quantity]=1e3", "items[0][quantity]", "parameter_invalid_integer"),
            ("customer=c&created=soon", "created", "parameter_invalid_integer"),
            ("customer=c&paid=yes", "paid", None),
            ("customer=c&mode=three", "mode", None),
            ("customer=c&name=", "name", "parameter_invalid_empty"),
            ("customer=c&paid=", "paid", "parameter_invalid_empty"),
            ("customer=c&items=1", "items", None),
            ("customer=c&items[first][price]=p", "items", None),
            ("customer[id]=c", "customer", None),
            ("customer=c&paid=true&paid[x]=1", "paid[x]", None),
            ("customer=c&items[0][quantity]=0", "items[0][quantity]", None),
            ("customer=c&items[0][quantity]=", "items[0][quantity]", "parameter_invalid_integer"),
            ("customer=c&items=", "items", None),
            ("customer=c&metadata=1", "metadata", None),
            ("customer=c&metadata[a][b]=1", "metadata[a]", None),
            (f"customer=c&metadata[a]={'x' * 501}", "metadata[a]", None),
        ],
    )
    def test_refuses_what_the_call_does_not_take(self, form, param, code):
        with pytest.raises(errors.StripeError) as refused:
            parameters.check(parameters.decode(form), SHAPE)

        assert refused.value.status == 400
        assert (refused.value.details["param"], refused.value.details.get("code")) == (param, code)

    @given(form=st.text(alphabet="ab[]=&0%1", max_size=40))
    def test_refuses_in_its_own_words_whatever_the_form(self, form):
        with suppress(errors.StripeError):
            checked = parameters.check(parameters.decode(form), {"a": [{"b": int}], "b": parameters.METADATA})
            assert set(checked) <= {"a", "b"}


class TestSignature:
    def test_is_the_one_that_the_sdk_computes(self):
        expected = stripe.WebhookSignature.generate_signature_header('{"a": 1}', "whsec_x", 1_700_000_000)

        assert deliveries.signature(b'{"a": 1}', "whsec_x", 1_700_000_000) == expected


class TestBackOffSeconds:
    def test_grows_to_a_minute_and_stays_there(self):
        waits = [webhooks.back_off_seconds(attempts) for attempts in range(1, 9)]

        assert waits == [0.5, 1, 2, 5, 10, 30, 60, 60]
