"""What pages say in states that a story seldom meets: the templates, with what the services would give."""

import flask
import pytest

from services.gateway.pages import billing, bots, consequences, leaving, secrets, shell
from shared import context, errors
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
    "double_payment": None,
}
FALLEN_BACK = {**SUBSCRIPTION, "plan": "free", "status": "unpaid", "payment_problem": OWED}
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
            return flask.render_template(f"pages/{template}.html", **{"form": bots.Named(), "usage": usage, **shown})

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

    def test_does_not_promise_what_is_over_once_the_grace_period_is(self, render):
        page = render("home", bots=BOTS, subscription=FALLEN_BACK, more_after=None)

        assert "has fallen back to Free limits" in page
        assert "is kept until" not in page
        assert "choose a larger plan" not in page

    def test_waits_with_a_new_org_until_quota_knows_it(self, render):
        page = render("home", usage=None, bots=[], subscription=None, more_after=None)

        assert "being set up" in page
        assert "not known now" in page

    def test_counts_the_bots_only_where_all_of_them_are_shown(self, render):
        usage = {**USAGE, "blocked": False}
        whole, first, last = (
            render("home", usage=usage, bots=BOTS, subscription=None, more_after=more, after=after)
            for more, after in ((None, ""), ("bot_9", ""), (None, "bot_9"))
        )

        assert "1 of 3 bots in use" in whole
        assert "Back to the first" not in whole + first
        for part in (first, last):
            assert "Room for 3 bots" in part
            assert "in use" not in part
        assert 'href="/">Back to the first' in last

    def test_does_not_call_the_page_after_the_last_bot_the_first_one(self, render):
        page = render("home", bots=[], subscription=None, more_after=None, after="bot_9")

        assert "No bot yet" not in page
        assert 'href="/">Back to the first' in page

    @pytest.mark.parametrize(
        "state, made, resumed",
        [
            ("running", "Ada is running.", "Running again."),
            ("stopped", "Ada is made. It runs as soon as", "Resumed. It runs as soon as there are messages left."),
            ("paused", "Ada is made.", "Resumed, and paused again since."),
        ],
    )
    def test_says_of_a_bot_what_it_does(self, state, made, resumed):
        bot = {"name": "Ada", "state": state}

        assert bots.created(bot).startswith(made)
        assert bots.resumed(bot) == resumed


MEMBERS = [{"account_id": "acc_2", "name": "Bob"}]


class TestSecrets:
    @pytest.mark.parametrize(
        "made_by, members, maker",
        [
            ("acc_1", None, "you"),
            ("acc_2", MEMBERS, "Bob"),
            ("acc_3", MEMBERS, "a former member"),
            ("acc_3", MEMBERS * secrets.MOST_MEMBERS, "another member"),
            ("acc_2", None, ""),
        ],
    )
    def test_name_who_made_them(self, made_by, members, maker):
        assert secrets.maker(made_by, own_id="acc_1", members=members) == maker


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
        usual = {"plans": PLANS, "subscription": SUBSCRIPTION, "invoices": [], "is_settling": False}
        return render("billing/show", **{**usual, **shown})

    def test_shows_what_is_owed_until_when(self, render):
        page = self.show(render, subscription={**SUBSCRIPTION, "status": "past_due", "payment_problem": OWED})

        assert "Your plan is kept until 1 December 2026" in page
        assert "Payment overdue" in page
        assert 'href="https://pay.example/in_1"' in page

    def test_offers_to_pay_or_leave_and_no_plan_once_it_has_fallen_back(self, render):
        page = self.show(render, subscription=FALLEN_BACK)

        assert "Paying brings Growth and its bots back" in page
        assert "Once it is paid" in page
        assert 'action="/billing/portal"' in page
        assert 'href="/billing/change?plan=free"' in page
        for untrue in ("is kept until", "Paid until", "<dt>Price", "Upgrade"):
            assert untrue not in page

    def test_offers_no_other_plan_while_an_invoice_is_open(self, render):
        page = self.show(render, subscription={**SUBSCRIPTION, "status": "past_due", "payment_problem": OWED})

        assert "Once the open invoice is paid, the plan can be changed" in page
        assert "Upgrade" not in page

    def test_says_what_became_of_a_second_payment(self, render):
        twice = {"plan": "growth", "refunded_cents": 4900, "currency": "usd", "ended_at": "2026-11-03T09:00:00Z"}
        unpaid = {**twice, "refunded_cents": 0, "currency": ""}

        page = self.show(render, subscription={**SUBSCRIPTION, "double_payment": twice})
        without_refund = self.show(render, subscription={**SUBSCRIPTION, "double_payment": unpaid})

        assert "Your second subscription, Growth, was canceled on 3 November 2026, and $49 went back" in page
        assert "was canceled on 3 November 2026. Your plan" in without_refund

    def test_says_that_a_payment_is_being_confirmed(self, render):
        assert "Your payment is being confirmed" in self.show(render, is_settling=True)

    def test_keeps_the_way_to_checkout_for_who_came_back_without_paying(self, render):
        pending = {"plan": "growth", "checkout_url": "https://pay.example/cs_1", "expires_at": OWED["since"]}
        subscription = {**SUBSCRIPTION, "plan": "free", "pending_checkout": pending}

        page = self.show(render, subscription=subscription, is_settling=True)

        assert "If you have just paid" in page
        assert 'href="https://pay.example/cs_1"' in page

    @pytest.mark.parametrize("returned", ["", "1", "cs_", "cs_test_1/..", "thanks"])
    def test_takes_nothing_but_stripes_return_for_a_payment(self, returned):
        free = {**SUBSCRIPTION, "plan": "free"}

        assert not billing._is_settling(free, returned)
        assert billing._is_settling(free, "cs_test_a1B2")
        assert not billing._is_settling(SUBSCRIPTION, "cs_test_a1B2")
        assert not billing._is_settling(FALLEN_BACK, "cs_test_a1B2")

    def test_shows_a_smaller_plan_that_is_coming(self, render):
        coming = {"plan": "starter", "takes_effect_at": "2026-12-03T00:00:00Z"}

        page = self.show(render, subscription={**SUBSCRIPTION, "plan": "growth", "scheduled_change": coming})

        assert "Your plan changes to Starter on 3 December 2026" in page
        assert "Keep Growth" in page

    def test_points_to_the_way_out_while_a_change_is_scheduled(self, render):
        coming = {"plan": "free", "takes_effect_at": "2026-12-03T00:00:00Z"}

        page = self.show(render, subscription={**SUBSCRIPTION, "scheduled_change": coming})

        assert '<a href="#scheduled">Keep Starter</a>' in page
        assert 'id="scheduled"' in page
        assert 'href="/billing/change' not in page

    def test_is_there_without_stripe_and_without_resets(self, render):
        page = self.show(render, invoices=None)

        assert "Stripe does not show them just now" in page
        assert "no reset is left" in page

    def test_is_there_without_quota_and_says_nothing_of_resets(self, render):
        page = self.show(render, usage=None)

        assert "resets this month's usage." in page
        assert "reset is left" not in page

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
        "error, is_unsure",
        [
            (errors.Unavailable("service_unavailable"), True),
            (errors.Unavailable("deadline_passed"), True),
            (errors.Unavailable("change_interrupted"), True),
            (errors.Conflict("change_in_progress"), True),
            (errors.Unavailable("stripe_unavailable", "Stripe does not answer; nothing has changed."), False),
            (errors.Conflict("plan_unchanged"), False),
            (errors.Invalid("unknown_plan"), False),
        ],
    )
    def test_says_that_nothing_has_changed_only_where_that_is_known(self, site, render, error, is_unsure):
        with site.test_request_context("/billing/change", method="POST"):
            form = billing.Change()
            form.command_id.data = "cmd_1"
            form.refuse(error)

        page = render("billing/refused", form=form)

        assert ("We do not know yet" in page, "Nothing has changed." in page) == (is_unsure, not is_unsure)
        assert ('value="cmd_1"' in page) == (is_unsure or error.status == 503)

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

    def test_calls_no_price_or_paid_period_its_own_once_the_org_has_fallen_back(self, render):
        page = render("account/billing", subscription=FALLEN_BACK, plan=PLANS[0])

        assert "A payment is overdue" in page
        assert "$0" not in page
        assert "paid period" not in page

    def test_names_the_exact_subject_with_which_one_leaves(self, site, render):
        page = leaving_page(site, render)

        assert 'href="mailto:support@api.example.com?subject=account%20exclusion"' in page
        assert "people at support read it and delete by hand" in page


def leaving_page(site, render, **shown):
    with site.test_request_context("/account/leaving"):
        form = leaving.Leave()
    usual = {"account": {"email": "ada@example.com"}, "deletion": None, "subject": leaving.SUBJECT}
    return render("account/leaving", form=form, address=examples.settings().support, **{**usual, **shown})


ASKED = {"state": "requested", "expires_at": "2026-11-29T13:00:00Z", "erases_at": None}
AGREED = {"state": "confirmed", "expires_at": "2026-11-29T13:00:00Z", "erases_at": "2026-12-02T12:00:00Z"}


class TestLeaving:
    def test_asks_for_the_password_and_says_what_goes(self, site, render):
        page = leaving_page(site, render)

        assert 'type="password"' in page
        assert "its subscription, secrets, bots and usage go with your account" in page
        assert "Keep my account" not in page

    def test_says_that_a_mail_is_on_its_way_and_lets_one_ask_again(self, site, render):
        page = leaving_page(site, render, deletion=ASKED)

        assert "Nothing is deleted before" in page
        assert 'type="password"' in page
        assert "Keep my account" in page

    def test_says_when_it_happens_and_offers_nothing_but_to_stay(self, site, render):
        page = leaving_page(site, render, deletion=AGREED)

        assert "will be deleted on 2 Dec 2026, 12:00 UTC" in page
        assert 'type="password"' not in page
        assert 'action="/account/leaving/withdraw"' in page
