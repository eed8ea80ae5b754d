"""
Periods that begin on days that other months lack, and amounts in a leap year: Stripe keeps the day of the anchor and
shortens only the months that lack it.
"""

import pytest

from tests.sandbox.stripe_process import unix

ANCHORS = [
    ("2027-01-31T10:00:00Z", ["2027-02-28T10:00:00Z", "2027-03-31T10:00:00Z", "2027-04-30T10:00:00Z"]),
    ("2028-01-31T10:00:00Z", ["2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z", "2028-04-30T10:00:00Z"]),
    ("2028-02-29T12:00:00Z", ["2028-03-29T12:00:00Z", "2028-04-29T12:00:00Z", "2028-05-29T12:00:00Z"]),
    ("2026-12-31T23:59:59Z", ["2027-01-31T23:59:59Z", "2027-02-28T23:59:59Z", "2027-03-31T23:59:59Z"]),
    ("2027-12-31T23:59:59Z", ["2028-01-31T23:59:59Z", "2028-02-29T23:59:59Z", "2028-03-31T23:59:59Z"]),
]
SECOND_BEFORE = {
    "2027-02-28T10:00:00Z": "2027-02-28T09:59:59Z",
    "2028-02-29T10:00:00Z": "2028-02-29T09:59:59Z",
    "2028-03-29T12:00:00Z": "2028-03-29T11:59:59Z",
    "2027-01-31T23:59:59Z": "2027-01-31T23:59:58Z",
    "2028-01-31T23:59:59Z": "2028-01-31T23:59:58Z",
}
begun = pytest.mark.parametrize("begin, ends", ANCHORS)


def begin_with(billing, plan, begin):
    billing.set_clock(begin)
    billing.subscribe(plan)


def move_to(billing, moment):
    """As time does it: the timers turn, and Stripe's webhooks come."""
    billing.set_clock(moment)
    billing.turn_timers()
    billing.deliver()


def period(billing):
    shown = billing.subscription()["period"]
    return (shown["starts_at"], shown["ends_at"]) if shown else None


def billed(billing):
    """Status and total of every invoice, the oldest first."""
    invoices = billing.ask("list_invoices", limit=100)["invoices"]
    return [(invoice["status"], invoice["total_cents"]) for invoice in reversed(invoices)]


class TestAPeriod:
    @begun
    def test_begins_where_the_one_before_ended_and_keeps_the_day_of_the_first(self, billing, begin, ends):
        begin_with(billing, "starter", begin)
        periods = [period(billing)]

        for end in ends[:-1]:
            move_to(billing, end)
            periods.append(period(billing))

        assert periods == list(zip([begin, *ends], ends, strict=False))
        assert billed(billing) == [("paid", 1900)] * len(ends)
        assert [action for _, action, _, _ in billing.told()[2:]] == ["renewed"] * (len(ends) - 1)

    @begun
    def test_is_the_old_one_for_one_second_more(self, billing, begin, ends):
        begin_with(billing, "starter", begin)

        move_to(billing, SECOND_BEFORE[ends[0]])

        assert period(billing) == (begin, ends[0])
        assert len(billed(billing)) == 1

    def test_that_began_on_a_leap_day_ends_on_the_28th_a_year_later(self, billing):
        begin_with(billing, "starter", "2028-02-29T12:00:00Z")

        move_to(billing, "2029-02-27T00:00:00Z")
        before = period(billing)
        move_to(billing, "2029-02-28T12:00:00Z")

        assert before == ("2029-01-29T12:00:00Z", "2029-02-28T12:00:00Z")
        assert period(billing) == ("2029-02-28T12:00:00Z", "2029-03-29T12:00:00Z")
        assert billed(billing) == [("paid", 1900)] * 13


class TestADowngradeAtTheEndOfThePeriod:
    @begun
    def test_comes_at_that_second_and_keeps_the_day(self, billing, begin, ends):
        begin_with(billing, "growth", begin)
        billing.tell("change_plan", plan="starter", at="period_end")
        scheduled = billing.subscription()["scheduled_change"]
        move_to(billing, SECOND_BEFORE[ends[0]])
        last_second = billing.subscription()["plan"]

        move_to(billing, ends[0])

        assert scheduled == {"plan": "starter", "takes_effect_at": ends[0]}
        assert (last_second, billing.subscription()["plan"]) == ("growth", "starter")
        assert period(billing) == (ends[0], ends[1])
        assert billed(billing) == [("paid", 4900), ("paid", 1900)]
        (downgraded,) = [fact for fact in billing.facts() if getattr(fact, "action", "") == "downgraded"]
        assert downgraded.effective_at == ends[0]


class TestACancellationAtTheEndOfThePeriod:
    @begun
    def test_comes_at_that_second_and_bills_nothing_more(self, billing, begin, ends):
        begin_with(billing, "starter", begin)
        billing.tell("cancel")
        move_to(billing, SECOND_BEFORE[ends[0]])
        last_second = billing.subscription()

        move_to(billing, ends[0])

        assert last_second["scheduled_change"] == {"plan": "free", "takes_effect_at": ends[0]}
        assert (last_second["plan"], billing.subscription()["plan"]) == ("starter", "free")
        assert period(billing) is None
        assert billed(billing) == [("paid", 1900)]
        (canceled,) = [fact for fact in billing.facts() if getattr(fact, "action", "") == "canceled"]
        assert canceled.effective_at == ends[0]


class TestTheTurnOfTheYear:
    def test_is_nothing_to_a_period_that_lasts_beyond_it(self, billing):
        begin_with(billing, "starter", "2026-12-15T08:00:00Z")
        move_to(billing, "2026-12-31T23:59:59Z")
        facts = billing.facts()

        move_to(billing, "2027-01-01T00:00:00Z")

        assert billing.facts() == facts
        assert period(billing) == ("2026-12-15T08:00:00Z", "2027-01-15T08:00:00Z")


class TestAnUpgrade:
    @pytest.mark.parametrize(
        "begin, moment, cents",
        [
            ("2028-02-01T00:00:00Z", "2028-02-15T12:00:00Z", 1500),  # half of 29 days
            ("2028-02-01T00:00:00Z", "2028-02-29T00:00:00Z", 169 - 66),  # one day of 29
            ("2027-02-01T00:00:00Z", "2027-02-28T00:00:00Z", 175 - 68),  # one day of 28
            ("2028-01-31T10:00:00Z", "2028-02-28T10:00:00Z", 169 - 66),  # one day of 29, from the 31st
            ("2028-02-29T12:00:00Z", "2028-03-28T12:00:00Z", 169 - 66),  # and from the leap day
            ("2027-12-31T23:59:59Z", "2028-01-01T00:00:00Z", 3000),  # all but a second, and the year has turned
        ],
    )
    def test_costs_the_rest_of_the_month_by_the_days_it_has(self, billing, begin, moment, cents):
        begin_with(billing, "starter", begin)
        billing.set_clock(moment)
        shown = billing.ask("preview", plan="growth")["price_today_cents"]

        billing.tell("change_plan", plan="growth")

        assert (shown, billed(billing)[-1]) == (cents, ("paid", cents))
        (charge,) = billing.stripe.client().v1.charges.list({"created": {"gte": unix(moment)}}).data
        assert charge.amount == cents
