"""What accounts does without a caller."""

import re

import pytest
from sqlalchemy import func, insert, select

from services.accounts import models, worker
from services.billing.events import DuplicateSubscriptionEnded
from services.quota.events import UsageThresholdReached
from services.secrets.events import FormerValueEnded, SecretExpiresSoon, SecretRevoked
from shared import database, tables


def count(accounts, model):
    with accounts.database.begin() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


class TestWork:
    def test_keeps_a_mail_that_the_server_did_not_take(self, accounts):
        accounts.register()
        working = accounts.settings
        accounts.settings = type(working)(**{**vars(working), "smtp_url": "smtp://127.0.0.1:1"})

        assert accounts.deliver() == []
        accounts.settings = working
        accounts.wait(minutes=1)
        assert len(accounts.deliver()) == 1

    def test_sends_a_mail_as_text_and_as_html_with_the_same_links(self, accounts):
        accounts.register()

        (mail,) = accounts.deliver()

        (link,) = re.findall(r"https?://\S+", mail["text"])
        assert set(re.findall(r'href="([^"]+)"', mail["html"])) == {link}
        assert "Confirm the address" in mail["html"]
        assert mail["auto_submitted"] == "auto-generated"

    def test_keeps_nothing_of_a_mail_that_is_sent(self, accounts):
        accounts.register()
        accounts.deliver()

        with accounts.database.begin() as session:
            job = session.scalars(select(tables.Job)).one()
        assert (job.state, job.payload) == ("done", None)


class TestPrune:
    def test_forgets_what_has_expired_and_nothing_else(self, accounts):
        accounts.sign_up()
        accounts.register("eve@example.com")
        accounts.wait(hours=23)
        accounts.sign_in()

        worker.prune(accounts.database)
        assert (count(accounts, models.Registration), count(accounts, models.SignedIn)) == (2, 2)

        accounts.wait(hours=1)
        worker.prune(accounts.database)
        assert (count(accounts, models.Registration), count(accounts, models.SignedIn)) == (0, 2)

        accounts.wait(days=6)
        worker.prune(accounts.database)
        assert (count(accounts, models.Registration), count(accounts, models.SignedIn)) == (0, 1)
        assert count(accounts, models.Credential) == 1

    def test_forgets_links_whose_hour_is_over(self, accounts):
        accounts.sign_up()
        accounts.tell("request_password_reset", email="ada@example.com")
        accounts.deliver()

        accounts.wait(minutes=59)
        worker.prune(accounts.database)
        assert count(accounts, models.PasswordReset) == 1

        accounts.wait(minutes=1)
        worker.prune(accounts.database)
        assert count(accounts, models.PasswordReset) == 0


def hear(accounts, fact):
    """As the worker does when the event comes."""
    handlers = [hears.handlers for hears in worker.work(accounts.settings, accounts.database).hears]
    (handle,) = [each[type(fact)] for each in handlers if type(fact) in each]
    with accounts.database.begin() as session:
        handle(session, fact, None)


class TestOnUsageThresholdReached:
    def reach(self, accounts, org_id, **changes):
        month = {
            "org_id": org_id,
            "period": "2026-11",
            "threshold": 80,
            "used": 8,
            "limit": 10,
            "credits_remaining": 0,
        }
        hear(accounts, UsageThresholdReached(**(month | changes)))

    def test_writes_to_the_owner(self, accounts):
        owner = accounts.sign_up()
        accounts.deliver()

        self.reach(accounts, owner.org_id)

        (arrived,) = accounts.deliver()
        assert (arrived["to"], arrived["subject"]) == ("ada@example.com", "80 % of this month's messages are used")
        assert "8 of the 10 messages" in arrived["text"]
        assert "https://chat.example/billing" in arrived["text"]

    @pytest.mark.parametrize("left, said", [(0, "Your bots have stopped"), (7, "the 7 extra messages")])
    def test_says_when_all_is_used_whether_bots_run_on(self, accounts, left, said):
        owner = accounts.sign_up()
        accounts.deliver()

        self.reach(accounts, owner.org_id, threshold=100, used=10, credits_remaining=left)

        (arrived,) = accounts.deliver()
        assert arrived["subject"] == "This month's messages are used up"
        assert said in arrived["text"]

    def test_writes_to_nobody_where_the_org_or_the_month_is_gone(self, accounts):
        owner = accounts.sign_up()
        accounts.deliver()

        self.reach(accounts, "org_gone")
        self.reach(accounts, owner.org_id, period="2026-10")

        assert accounts.deliver() == []


class TestOnDuplicateEnded:
    def end(self, accounts, org_id, *, refunded_cents):
        fact = DuplicateSubscriptionEnded(
            org_id=org_id,
            subscription_id="sub_2",
            plan="growth",
            plan_kept="starter",
            refunded_cents=refunded_cents,
            currency="usd",
            ended_at="2026-11-03T09:00:00Z",
        )
        hear(accounts, fact)

    @pytest.mark.parametrize("refunded_cents", [4900, 0])
    def test_tells_the_owner_what_stays_and_whether_money_comes_back(self, accounts, refunded_cents):
        owner = accounts.sign_up()
        accounts.deliver()

        self.end(accounts, owner.org_id, refunded_cents=refunded_cents)

        (arrived,) = accounts.deliver()
        assert (arrived["to"], arrived["subject"]) == (
            "ada@example.com",
            "You had two subscriptions; one was canceled",
        )
        assert "of the plan growth, was canceled." in arrived["text"]
        assert "of the plan starter, goes on" in arrived["text"]
        assert "https://chat.example/billing" in arrived["text"]
        assert ("goes back to" in arrived["text"]) == (refunded_cents > 0)

    def test_writes_to_nobody_where_the_org_is_gone(self, accounts):
        self.end(accounts, "org_gone", refunded_cents=4900)

        assert accounts.deliver() == []


class TestOnSecretEnded:
    @pytest.mark.parametrize(
        "kind, said",
        [(SecretRevoked, "need another secret"), (FormerValueEnded, "The present value works as before")],
    )
    def test_tells_the_owner_of_a_leak_which_one_it_was(self, accounts, kind, said):
        owner = accounts.sign_up()
        accounts.deliver()

        hear(accounts, kind(org_id=owner.org_id, secret_id="sec_1", reason="leaked"))

        (arrived,) = accounts.deliver()
        assert (arrived["to"], arrived["subject"]) == (
            "ada@example.com",
            "An API secret of yours was found in public",
        )
        assert "https://chat.example/secrets#sec_1" in arrived["text"]
        assert said in arrived["text"]

    def test_writes_nothing_of_what_a_person_revoked_or_of_an_org_that_is_gone(self, accounts):
        owner = accounts.sign_up()
        accounts.deliver()

        hear(accounts, SecretRevoked(org_id=owner.org_id, secret_id="sec_1", reason="person"))
        hear(accounts, SecretRevoked(org_id="org_gone", secret_id="sec_1", reason="leaked"))

        assert accounts.deliver() == []


class TestOnSecretExpiresSoon:
    def expire(self, accounts, org_id, made_by, *, expires_at="2027-01-31T23:59:59Z"):
        hear(
            accounts,
            SecretExpiresSoon(org_id=org_id, secret_id="sec_1", made_by=made_by, expires_at=expires_at),
        )

    def test_tells_the_owner_when_and_which(self, accounts):
        owner = accounts.sign_up()
        accounts.deliver()

        self.expire(accounts, owner.org_id, owner.id)

        (arrived,) = accounts.deliver()
        assert arrived["to"] == "ada@example.com"
        assert arrived["subject"] == "An API secret of yours expires on 31 January 2027, 23:59 UTC"
        assert "https://chat.example/secrets#sec_1" in arrived["text"]

    def test_tells_who_made_it_too_as_long_as_they_are_a_member(self, accounts):
        owner, maker = accounts.sign_up(), accounts.sign_up("eve@example.com")
        join(accounts, owner.org_id, maker.id)
        accounts.deliver()

        self.expire(accounts, owner.org_id, maker.id)
        self.expire(accounts, owner.org_id, "acc_gone")

        assert sorted(one["to"] for one in accounts.deliver()) == [
            "ada@example.com",
            "ada@example.com",
            "eve@example.com",
        ]

    def test_writes_to_nobody_where_the_org_is_gone_or_it_is_too_late(self, accounts):
        owner = accounts.sign_up()
        accounts.deliver()

        self.expire(accounts, "org_gone", owner.id)
        self.expire(accounts, owner.org_id, owner.id, expires_at="2026-11-03T09:00:00Z")

        assert accounts.deliver() == []


def join(accounts, org_id, account_id):
    """As an invitation will let somebody do."""
    with accounts.database.begin() as session:
        row = {"org_id": org_id, "account_id": account_id, "role": "member", "joined_at": database.now(session)}
        session.execute(insert(models.Member).values(**row))
