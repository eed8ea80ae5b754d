"""The page as a person uses it, in a real browser: from signing up to a revoked secret."""

import re
from collections.abc import Iterator
from contextlib import suppress
from html import unescape

import pytest
import requests
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as NotSeen

from ops import client
from tests.stack import browser as browsing
from tests.stack.browser import Visitor
from tests.stack.stacks import GOOD_CARD, PASSWORD, Org, Running, eventually
from tests.stack.surfer import Surfer
from tests.stack.test_webhooks import sdk

EMAIL = "grace@example.com"
FAILING_CARD = "4000000000000341"  # it is taken, and fails when it is charged
NEW_PASSWORD = "seven unlikely herons on a roof"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.browser() as started:
        yield started


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture(scope="module")
def surfer(org: Org) -> Surfer:
    return Surfer(org)


def mailed_token(stack: Running, email: str) -> str:
    token = eventually(lambda: client.mailed_token(stack.mail_folder, to=email), f"no mail came to {email}")
    assert token
    return token


def sign_in(visitor: Visitor, email: str, password: str) -> None:
    visitor.go("/sign-in")
    visitor.fill(email=email, password=password)
    visitor.submit("Sign in")


def test_a_person_goes_through_the_page(stack: Running, browser: Browser) -> None:
    visitor = Visitor(browser, stack.url)

    begins_an_account(visitor, stack)
    makes_bots(visitor)
    finds_the_menus(visitor)
    tells_who_they_are(visitor)
    upgrades(visitor)
    considers_going_back(visitor)
    makes_a_secret_and_revokes_it(visitor, stack)
    leaves_and_comes_back(visitor, stack)

    assert visitor.complaints == []


def signs_in(visitor: Visitor) -> None:
    """As a person does whom a busy machine tells to try again, or whose organization it has not set up yet."""
    for _ in range(3):
        if visitor.page.locator("[name=password]").count():
            visitor.fill(email=EMAIL, password=PASSWORD)
            visitor.submit("Sign in")
        with suppress(NotSeen):
            visitor.heading("Bots")
            return
        visitor.go("/")
    visitor.heading("Bots")


def begins_an_account(visitor: Visitor, stack: Running) -> None:
    visitor.go("/")
    visitor.look("landing")
    visitor.follow("Sign up for free")
    visitor.look("sign-up")
    visitor.fill(name="Grace Hopper", email=EMAIL, org_name="Compilers & Sons", password="short")
    visitor.submit("Sign up")
    visitor.text("At least 15 characters.")
    assert visitor.page.locator("[name=name]").input_value() == "Grace Hopper"
    assert visitor.page.locator("[name=password]").input_value() == ""
    visitor.look("sign-up-refused")
    visitor.fill(password=PASSWORD)
    visitor.submit("Sign up")
    visitor.heading("Look into your mailbox")
    visitor.text(EMAIL)
    visitor.look("mailbox")

    visitor.go(f"/confirm-email?token={mailed_token(stack, EMAIL)}")
    visitor.look("confirm-email")
    visitor.press("Confirm my address")
    visitor.text("Your address is confirmed.")
    visitor.look("sign-in")
    visitor.fill(email=EMAIL, password="another password altogether")
    visitor.submit("Sign in")
    visitor.text("The address or the password is wrong.")
    visitor.look("sign-in-refused")
    signs_in(visitor)


def makes_bots(visitor: Visitor) -> None:
    def quota_knows_the_org() -> bool:
        visitor.go("/")
        return visitor.page.get_by_text("200 left").is_visible()

    eventually(quota_knows_the_org)
    visitor.look("home-empty")
    visitor.fill(name="Charles")
    visitor.press("Create bot")
    visitor.text("Charles is running.")
    visitor.fill(name="Ada")
    visitor.press("Create bot")
    visitor.page.get_by_role("alert").wait_for()
    assert visitor.page.locator("[name=name]").input_value() == "Ada"
    visitor.look("home-no-room")
    visitor.press("Pause Charles")
    visitor.text("Paused by hand")
    visitor.press("Resume Charles")
    visitor.text("Running again.")
    visitor.follow("Charles")
    visitor.look("bot")
    visitor.fill(name="Charles the Second")
    visitor.press("Save")
    visitor.text("The name is changed.")
    visitor.follow("Edit Charles the Second")
    visitor.follow("Delete this bot")
    visitor.look("bot-delete")
    visitor.follow("Keep it")
    visitor.follow("Usage")
    visitor.page.get_by_text("The same as a table").click()
    visitor.text("Nothing was sent.")
    visitor.look("usage")


def finds_the_menus(visitor: Visitor) -> None:
    menu = visitor.page.locator("#account-menu")
    assert not menu.is_visible()
    visitor.press("Account menu")
    assert menu.get_by_role("link").all_inner_texts() == ["Your Account", "Billing Management", "API Secrets"]
    visitor.look("account-menu")
    visitor.page.keyboard.press("Escape")
    assert not menu.is_visible()
    progress = visitor.page.locator("#progress-menu")
    visitor.page.get_by_role("button", name=re.compile("^Progress")).click()
    assert progress.get_by_role("link").all_inner_texts() == ["Usage", "Billing Management", "API Secrets"]
    visitor.look("progress-menu")
    progress.get_by_role("link", name="Usage").click()
    visitor.press("Account menu")
    menu.get_by_role("link", name="Your Account").click()
    visitor.heading("Your Account")


def tells_who_they_are(visitor: Visitor) -> None:
    visitor.look("account-general")
    visitor.fill(name="Rear Admiral Hopper")
    visitor.press("Save")
    visitor.text("Your name is changed.")
    assert visitor.page.locator(".circle-button").text_content() == "RH"
    visitor.follow("Org")
    visitor.fill(legal_name="Compilers & Sons Ltd", address="1 Nanosecond Lane\nArlington", billing_email="nobody")
    visitor.page.locator("form[action='/account/org']").evaluate("form => form.noValidate = true")
    visitor.press("Save")
    visitor.text("An address as name@example.com.")
    visitor.look("account-org-refused")
    visitor.fill(billing_email="bills@example.com")
    visitor.press("Save")
    visitor.text("Your organization's details are changed.")
    assert visitor.page.locator("[name=address]").input_value() == "1 Nanosecond Lane\nArlington"
    visitor.look("account-org")
    for section in ("Billing", "API", "Leaving"):
        visitor.follow(section)
        visitor.page.get_by_role("link", name=section, exact=True).and_(
            visitor.page.locator("[aria-current]")
        ).wait_for()
        visitor.look(f"account-{section.lower()}")
    visitor.text("account exclusion")


def upgrades(visitor: Visitor) -> None:
    visitor.go("/billing")
    visitor.look("billing-free")
    visitor.follow("Upgrade to Starter")
    visitor.heading("Change to Starter")
    visitor.look("billing-preview")
    visitor.press("Continue to Checkout")
    visitor.page.get_by_label("Card number").fill(GOOD_CARD)
    visitor.page.get_by_role("button", name=re.compile("^Pay")).click()
    visitor.heading("Billing Management")

    def stripe_has_told() -> bool:
        visitor.page.reload()
        return visitor.page.get_by_role("heading", name="Your plan: Starter").is_visible()

    eventually(stripe_has_told)
    assert visitor.page.url == f"{visitor.url}/billing"
    visitor.look("billing-starter")


def considers_going_back(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.fill(name="Ada")
    visitor.press("Create bot")
    visitor.text("Ada is running.")
    visitor.look("home")
    visitor.go("/billing/change?plan=free&at=now")
    visitor.text("1 bot will be paused, as bots stand now: Ada.")
    visitor.look("billing-cancel-now")
    visitor.follow("Keep my plan")
    visitor.follow("Cancel subscription")
    visitor.press("Cancel the subscription")
    visitor.text("Your subscription is canceled and ends")
    visitor.look("billing-canceled")
    visitor.press("Keep Starter")
    visitor.text("The scheduled change is withdrawn")


def makes_a_secret_and_revokes_it(visitor: Visitor, stack: Running) -> None:
    visitor.go("/secrets")
    visitor.look("secrets-empty")
    visitor.fill(name="runtime")
    visitor.page.get_by_label("See the bots and their state").check()
    visitor.press("Add secret")
    visitor.heading("Your new secret")
    value = visitor.page.locator("#secret-value").text_content() or ""
    visitor.look("secret-shown")
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.press("Copy")
    visitor.page.get_by_role("button", name="Copied").wait_for()
    assert visitor.page.evaluate("navigator.clipboard.readText()") == value
    program = stack.api.with_token(value)
    assert [bot["name"] for bot in program.ask("GET", "/v1/bots").json()["data"]] == ["Charles the Second", "Ada"]

    visitor.page.reload()
    visitor.heading("Shown already")
    assert value not in visitor.page.content()
    visitor.look("secret-shown-already")
    visitor.follow("API Secrets")
    assert visitor.page.get_by_role("link", name="Revoke runtime").count() == 1
    visitor.look("secrets")
    visitor.follow("Rotate runtime")
    visitor.look("secret-rotate")
    visitor.press("Rotate the secret")
    visitor.heading("Your new secret")
    visitor.look("secret-rotated")
    newer = stack.api.with_token(visitor.page.locator("#secret-value").text_content() or "")
    assert [one.ask("GET", "/v1/bots").status_code for one in (program, newer)] == [200, 200]
    visitor.follow("I have copied it")
    visitor.look("secrets-rotated")
    visitor.follow("Revoke runtime")
    visitor.look("secret-revoke")
    visitor.press("Revoke the secret")
    visitor.text("The secret is revoked.")
    assert [one.ask("GET", "/v1/bots").status_code for one in (program, newer)] == [401, 401]
    visitor.look("secrets-revoked")


def leaves_and_comes_back(visitor: Visitor, stack: Running) -> None:
    visitor.press("Sign out")
    visitor.text("You are signed out.")
    visitor.page.go_back()
    visitor.heading("Sign in")
    visitor.follow("Forgotten your password?")
    visitor.look("forgotten-password")
    confirmation = mailed_token(stack, EMAIL)
    visitor.fill(email=EMAIL)
    visitor.press("Send the link")
    visitor.heading("Look into your mailbox")
    eventually(lambda: mailed_token(stack, EMAIL) != confirmation, "no link to reset the password came")
    visitor.go(f"/reset-password?token={mailed_token(stack, EMAIL)}")
    visitor.look("reset-password")
    visitor.fill(password=NEW_PASSWORD)
    visitor.submit("Change the password")
    visitor.text("Your password is changed")
    visitor.go("/account/org")
    visitor.heading("Sign in")
    visitor.fill(email=EMAIL, password=NEW_PASSWORD)
    visitor.submit("Sign in")
    visitor.heading("Your Account")
    assert visitor.page.url == f"{visitor.url}/account/org"
    visitor.go("/no/such/page")
    visitor.heading("There is nothing here")
    visitor.look("not-found")


def test_the_forms_and_menus_work_without_javascript(stack: Running, browser: Browser) -> None:
    org = stack.sign_up()
    visitor = Visitor(browser, stack.url, script=False)
    sign_in(visitor, org.email, PASSWORD)
    visitor.heading("Bots")
    visitor.press("Pause Charles")
    visitor.text("Paused by hand")
    visitor.press("Account menu")
    visitor.page.locator("#account-menu").get_by_role("link", name="API Secrets").click()
    visitor.fill(name="script")
    visitor.press("Add secret")
    visitor.heading("Your new secret")
    visitor.follow("I have copied it")
    visitor.follow("Revoke script")
    visitor.press("Revoke the secret")
    visitor.text("The secret is revoked.")
    visitor.go("/billing")
    visitor.follow("Upgrade to Growth")
    visitor.press("Continue to Checkout")
    visitor.page.get_by_role("link", name="Cancel").click()
    visitor.text("Your new plan waits for its payment")
    visitor.press("Sign out")
    visitor.text("You are signed out.")

    assert visitor.complaints == []
    assert org.bots() == [("Charles", "paused")]


def test_it_can_be_read_in_the_dark(stack: Running, browser: Browser) -> None:
    org = stack.sign_up()
    for number in range(50):
        assert org.send(f"msg_{number}").status_code == 201
    visitor = Visitor(browser, stack.url, dark=True)

    sign_in(visitor, org.email, "not the password")
    visitor.text("The address or the password is wrong.")
    visitor.look("dark-sign-in-refused")
    sign_in(visitor, org.email, PASSWORD)
    visitor.text("25% of the month")
    visitor.look("dark-home")
    for path in ("billing", "secrets", "account"):
        visitor.go(f"/{path}")
        visitor.look(f"dark-{path}")


class TestForms:
    def test_sent_twice_are_done_once(self, org: Org, surfer: Surfer) -> None:
        surfer.send(f"/bots/{org.bot_id}/pause", page="/")
        form = surfer.form("/", "/bots")

        answers = [surfer.post("/bots", form, name="<Ada> & Co") for _ in range(2)]

        assert [answer.status_code for answer in answers] == [303, 303]
        assert [name for name, _ in org.bots()] == ["Charles", "<Ada> & Co"]
        page = surfer.see("/").text
        assert "&lt;Ada&gt; &amp; Co" in page
        assert "<Ada>" not in page

    def test_sent_again_with_something_else_in_it_are_refused_and_can_be_sent_anew(
        self, org: Org, surfer: Surfer
    ) -> None:
        form = surfer.form("/account")
        assert surfer.post("/account", form, name="Ada One").status_code == 303

        again = surfer.post("/account", form, name="Ada Two")

        assert again.status_code == 422
        assert "This form was sent before" in again.text
        assert form["command_id"] not in again.text
        assert org.owner.ask("GET", "/v1/account").json()["name"] == "Ada One"

    def test_show_a_secret_once_and_make_one(self, org: Org, surfer: Surfer) -> None:
        form = surfer.form("/secrets")
        first, second = (
            surfer.post("/secrets", form, name="twice", scopes=["usage:read", "bots:read"]) for _ in range(2)
        )

        assert (first.status_code, second.status_code) == (200, 409)
        assert re.findall(r"chs_test_\w{38}", first.text)
        assert not re.findall(r"chs_test_\w{38}", second.text)
        assert (first.headers["Cache-Control"], "Set-Cookie" in first.headers) == ("no-store", False)
        named = [one["name"] for one in org.owner.ask("GET", "/v1/secrets").json()["data"]]
        assert named.count("twice") == 1

        assert "by you" in surfer.see("/secrets").text

    def test_rotate_a_secret_once_and_show_its_value_once(self, stack: Running, org: Org, surfer: Surfer) -> None:
        made = org.owner.ask("POST", "/v1/secrets", {"name": "<to rotate>", "scopes": ["bots:read"]}).json()
        action = f"/secrets/{made['id']}/rotate"
        form = surfer.form(action)

        first, second = (surfer.post(action, form, overlap_seconds="3600") for _ in range(2))

        assert (first.status_code, second.status_code) == (200, 409)
        (value,) = re.findall(r"chs_test_\w{38}", first.text)
        assert not re.findall(r"chs_test_\w{38}", second.text)
        assert "&lt;to rotate&gt;" in first.text
        assert first.headers["Cache-Control"] == "no-store"
        asked = [stack.api.with_token(one).ask("GET", "/v1/bots").status_code for one in (made["secret"], value)]
        assert asked == [200, 200]
        assert "works until" in surfer.see("/secrets").text
        assert surfer.post(action, surfer.form(action), overlap_seconds="-1").status_code == 422

    def test_say_at_the_top_why_no_bot_was_made_and_lead_home_when_they_are_reloaded(self, surfer: Surfer) -> None:
        refused = surfer.send("/bots", page="/", name="One too many")

        assert refused.status_code == 409
        assert refused.text.index('role="alert"') < refused.text.index('id="month"')
        assert surfer.see("/bots").url == f"{surfer.url}/"

    def test_mail_a_link_for_the_password_without_asking_for_the_address(
        self, stack: Running, org: Org, surfer: Surfer
    ) -> None:
        confirmation = mailed_token(stack, org.email)

        asked = surfer.send("/account/password-link", page="/account")

        assert (asked.status_code, asked.headers["Location"]) == (303, "/account")
        assert f"on its way to {org.email}" in surfer.see("/account").text
        eventually(lambda: mailed_token(stack, org.email) != confirmation, "no link to reset the password came")

    def test_reach_nothing_of_another_org(self, stack: Running, surfer: Surfer) -> None:
        other = stack.sign_up()

        form = surfer.form("/", "/sign-out")
        surfer.post(f"/bots/{other.bot_id}/delete", form)
        surfer.post(f"/secrets/{other.secret_id}/revoke", form)
        surfer.post(f"/secrets/{other.secret_id}/rotate", form, overlap_seconds="0")

        assert surfer.see(f"/bots/{other.bot_id}").status_code == 404
        assert surfer.see(f"/secrets/{other.secret_id}/revoke").status_code == 404
        assert surfer.see(f"/secrets/{other.secret_id}/rotate").status_code == 404
        assert other.bots() == [("Charles", "running")]
        assert other.program.ask("GET", "/v1/usage").status_code == 200

    def test_end_a_session_for_good(self, org: Org) -> None:
        leaving, staying = Surfer(org), Surfer(org)
        ours = [one["id"] for one in org.owner.ask("GET", "/v1/sessions").json()["data"]]
        leavings_own = re.findall(r"/account/sessions/(ses_\w+)/end", leaving.see("/account").text)
        (leavings,) = set(ours) - set(leavings_own)

        ended = staying.send(f"/account/sessions/{leavings}/end", page="/account")

        assert ended.status_code == 303
        assert "/sign-in" in leaving.see("/account").url

    def test_say_where_to_pay_when_a_card_is_declined(self, stack: Running) -> None:
        org = stack.sign_up()
        org.subscribe("starter", limit=2000)
        surfer = Surfer(org)
        leaving = surfer.send("/billing/portal", page="/billing")
        portal = unescape(re.findall(r'content="0; url=([^"]+)"', leaving.text)[0])
        changed = requests.post(f"{portal}/card", data={"number": FAILING_CARD}, timeout=client.TIMEOUT_SECONDS)
        assert changed.status_code == 200

        change = "/billing/change?plan=growth&at=now"
        declined = surfer.send(change)

        assert declined.status_code == 402
        assert "The card was declined" in declined.text
        assert "Go on to the payment" in declined.text
        assert org.subscription()["plan"] == "starter"

    def test_say_that_a_plan_cannot_be_bought_whose_price_is_archived(self, stack: Running) -> None:
        org = stack.sign_up()
        prices = sdk(stack).v1.prices
        (price,) = prices.list({"lookup_keys": ["chatness_growth_monthly"]}).data
        prices.update(price.id, {"active": False})
        try:
            answer = org.owner.ask("POST", "/v1/subscription/preview", {"plan": "growth"})
            page = Surfer(org).see("/billing/change?plan=growth")
        finally:
            prices.update(price.id, {"active": True})

        assert (answer.status_code, answer.json()["code"]) == (409, "stripe_refused")
        assert (page.status_code, "Growth cannot be bought at the moment" in page.text) == (409, True)
