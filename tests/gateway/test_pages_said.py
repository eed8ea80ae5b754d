"""What pages say in states that a story seldom meets: the templates, with what the services would give."""

import flask
import pytest

from services.gateway.pages import bots, consequences, shell
from shared import context
from tests.gateway import examples

pytestmark = pytest.mark.pure

OWED = {
    "plan": "growth",
    "since": "2026-11-24T10:00:00Z",
    "grace_until": "2026-12-01T10:00:00Z",
    "payment_url": "https://pay.example/in_1",
}
USAGE = {
    "period": "2026-11",
    "used": 200,
    "limit": 200,
    "credits_remaining": 0,
    "remaining": 0,
    "resets_at": "2026-12-01T00:00:00Z",
    "blocked": True,
    "resets_left": 0,
    "bot_limit": 3,
}
PLANS = [
    {
        "id": name.lower(),
        "name": name,
        "price_cents": rank * 1900,
        "currency": "usd",
        "messages_per_month": 200,
        "bots": 1,
        "rank": rank,
    }
    for rank, name in enumerate(["Free", "Starter", "Growth"])
]
SUBSCRIPTION = {
    "plan": "starter",
    "status": "active",
    "limits": {"messages": 200, "bots": 1},
    "period": {"starts_at": "2026-11-03T00:00:00Z", "ends_at": "2026-12-03T00:00:00Z"},
    "scheduled_change": None,
    "pending_checkout": None,
    "payment_problem": None,
}
BOTS = [
    {"id": "bot_1", "name": "first", "state": "stopped", "pause_reasons": [], "created_at": "2026-11-03T00:00:00Z"},
    {
        "id": "bot_2",
        "name": "second",
        "state": "paused",
        "pause_reasons": ["plan"],
        "created_at": "2026-11-03T00:00:00Z",
    },
]


@pytest.fixture
def render(site):
    def rendered(template, *, role="owner", usage=USAGE, **shown):
        with site.test_request_context("/billing"):
            flask.g.shell = shell.Shell(
                actor=context.Actor(kind="person", id="acc_1", role=role),
                account={"name": "Ada"},
                org={"name": "Engines"},
                usage=usage,
            )
            return flask.render_template(f"pages/{template}.html", form=bots.Named(), usage=usage, **shown)

    return rendered


class TestHome:
    def test_says_when_nothing_is_left_and_who_can_do_something(self, render):
        owners, members = (
            render("home", role=role, bots=BOTS, subscription=None, more_after=None) for role in ("owner", "member")
        )

        assert "This month's messages are used up" in owners
        assert 'href="/billing">choose a larger plan' in owners
        assert "as soon as the owner chooses a larger plan" in members
        assert "No message is left this month" in owners
        assert "Your plan has no room for it" in owners
        assert "100% of the month" in owners

    @pytest.mark.parametrize(
        "used, credits_left, said",
        [
            (159, 0, None),
            (160, 0, "At least 80% of this month's messages are used."),
            (200, 7, "Your bots run on 7 extra messages, then they stop until 1 December 2026."),
        ],
    )
    def test_says_when_much_of_the_plan_is_used_and_whether_bots_run_on(self, render, used, credits_left, said):
        usage = {**USAGE, "used": used, "credits_remaining": credits_left, "remaining": 200 - used + credits_left}

        page = render("home", usage={**usage, "blocked": False}, bots=[], subscription=None, more_after=None)

        assert ("notice-warning" in page) == (said is not None)
        assert (said or "") in page

    def test_shows_where_to_pay_what_is_owed_and_where_checkout_waits(self, render):
        pending = {"plan": "growth", "checkout_url": "https://pay.example/cs_1", "expires_at": OWED["since"]}
        subscription = {**SUBSCRIPTION, "payment_problem": OWED, "pending_checkout": pending}

        page = render("home", bots=[], subscription=subscription, more_after="bot_9")

        assert "overdue since 24 November 2026" in page
        assert 'href="https://pay.example/in_1"' in page
        assert 'href="https://pay.example/cs_1"' in page

    def test_waits_with_a_new_org_until_quota_knows_it(self, render):
        page = render("home", usage=None, bots=[], subscription=None, more_after=None)

        assert "being set up" in page
        assert "not known now" in page


class TestUsage:
    def test_shows_what_is_left_of_each_credit_and_when_that_expires(self, render):
        credit = {"messages": 50, "granted_at": "2026-11-03T00:00:00Z", "expires_at": "2027-02-01T00:00:00Z"}
        credits = [{**credit, "id": "credit_1", "remaining": 0}, {**credit, "id": "credit_2", "remaining": 7}]

        page = render("usage", credits=credits)

        assert page.count("messages left") == 1
        assert "7 of 50 messages left" in page
        assert "Expire on 1 February 2027" in page
        assert "Extra messages" not in render("usage", credits=[])


class TestBilling:
    def show(self, render, **shown):
        usual = {"plans": PLANS, "subscription": SUBSCRIPTION, "invoices": [], "is_settling": False, "is_paid": False}
        return render("billing/show", **{**usual, **shown})

    def test_shows_what_is_owed_until_when(self, render):
        page = self.show(render, subscription={**SUBSCRIPTION, "status": "past_due", "payment_problem": OWED})

        assert "Your plan is kept until 1 December 2026" in page
        assert "Payment overdue" in page
        assert 'href="https://pay.example/in_1"' in page

    def test_says_that_a_payment_is_being_confirmed(self, render):
        assert "Your payment is being confirmed" in self.show(render, is_settling=True)

    def test_shows_a_smaller_plan_that_is_coming(self, render):
        coming = {"plan": "starter", "takes_effect_at": "2026-12-03T00:00:00Z"}

        page = self.show(render, subscription={**SUBSCRIPTION, "plan": "growth", "scheduled_change": coming})

        assert "Your plan changes to Starter on 3 December 2026" in page
        assert "Keep Growth" in page

    def test_is_there_without_stripe_and_without_resets(self, render):
        page = self.show(render, invoices=None)

        assert "Stripe does not show them just now" in page
        assert "no reset is left" in page

    def test_shows_a_plan_that_is_no_longer_sold(self, render):
        assert "Your plan: legacy" in self.show(render, subscription={**SUBSCRIPTION, "plan": "legacy"})

    def test_says_before_a_change_that_bots_will_stop(self, render):
        preview = {
            "plan": "starter",
            "at": "now",
            "effective_at": "2026-11-24T10:00:00Z",
            "currency": "usd",
            "price_today_cents": 0,
            "credit_cents": 1500,
            "next_invoice": {"at": "2026-12-03T00:00:00Z", "amount_cents": 400},
            "limits": {"messages": 150, "bots": 1},
        }
        effects = consequences.Consequences(resets=False, messages_over=50, paused=("second",), resumed=())

        page = render(
            "billing/change",
            preview=preview,
            effects=effects,
            chosen=PLANS[1],
            current=PLANS[2],
            period=SUBSCRIPTION["period"],
        )

        assert "200 messages, stays counted" in page
        assert "50 messages more than this plan has" in page
        assert "1 bot will be paused" in page
        assert "$15" in page
        assert "Next invoice, 3 December 2026" in page

    @pytest.mark.parametrize(
        "status, said",
        [
            ("pending", "Look again"),
            ("checkout", "Go on with Checkout"),
            ("declined", "Go on to the payment"),
            ("given_up", "could not be made"),
            ("done", "The change is made"),
        ],
    )
    def test_tells_what_became_of_a_slow_change(self, render, status, said):
        urls = {"checkout_url": "https://pay.example/cs_1", "payment_url": "https://pay.example/in_1"}

        assert said in render("billing/pending", change={"id": "int_1", "status": status, **urls})


class TestAccount:
    def test_tells_a_member_whom_to_ask_about_billing(self, render):
        page = render("account/billing", role="member", subscription=None, plan=None)

        assert "seen and changed by its owner alone" in page

    def test_shows_a_member_the_orgs_name_and_no_form(self, render):
        page = render("account/org", role="member", org={"name": "Engines"}, members=[], most=100)

        assert "The owner of the organization changes" in page
        assert 'name="legal_name"' not in page

    def test_names_the_exact_subject_with_which_one_leaves(self, render):
        page = render(
            "account/leaving",
            account={"email": "ada@example.com"},
            address=examples.settings().support,
            subject="account exclusion",
        )

        assert 'href="mailto:support@api.example.com?subject=account%20exclusion"' in page
