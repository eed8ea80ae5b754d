"""The time has come: who leaves is gone at once, the others are told, and their reports end it; in whatever order."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text

from services.accounts import erasing, mailing, mails, models, projections, worker
from services.accounts.events import CATALOGUE
from services.billing.events import CATALOGUE as BILLING
from services.quota.events import CATALOGUE as QUOTA
from services.secrets.events import CATALOGUE as SECRETS
from shared import context, database, errors, inbox, outbox, pruning, rebuilding, store, tables, verification
from tests.accounts.test_deletions import confirmed, join
from tests.databases import everything_in
from tests.sandbox.stripe_process import eventually

CATALOGUES = {"billing": BILLING, "quota": QUOTA, "secrets": SECRETS}
CANARIES = ("Canary Lovelace", "canary@example.com", "Canary Engines", "1 Canary Street", "canary-command")
KILLED_AT = """
import sys
from pathlib import Path
from services.accounts import erasing
from shared import clock, database, failpoints
failpoints.arm("erasure.begun")
erasing.begin_due(database.Database(sys.argv[1], clock.Clock(Path(sys.argv[2])), pool_size=1), public_url="https://x")
"""


class Others:
    """The other services, as far as accounts hears of them."""

    def __init__(self, accounts, open_database):
        self.accounts = accounts
        self.homes = {name: open_database(name) for name in CATALOGUES}

    def report(self, org_id, *services):
        for name in services or CATALOGUES:
            self.tell(org_id, name)
            self.hear(name)

    def tell(self, org_id, name):
        done = CATALOGUES[name].classes[f"{name}.ErasureDone"](org_id=org_id)
        plain = store.Aggregate(catalogue=CATALOGUES[name], initial=None, evolve=lambda state, _fact: state)
        with self.homes[name].begin() as session:
            head = store.head(session, f"erasure-{org_id}x", plain)
            store.append(session, head, plain, [done])
        outbox.sequence(self.homes[name])

    def hear(self, name):
        [hears] = [one for one in work_of(self.accounts).hears if one.catalogue.service == name]
        with self.homes[name].begin() as session:
            log = outbox.read_log(session, name, after=0, limit=100)
        inbox.Inbox(self.accounts.database, "accounts", hears).take(log)


def work_of(accounts):
    return worker.work(accounts.settings, accounts.database)


@pytest.fixture
def others(accounts, open_database) -> Others:
    return Others(accounts, open_database)


@pytest.fixture
def eve(accounts):
    return accounts.sign_up("eve@example.com")


@pytest.fixture
def ada(accounts):
    """Alone in her org, leaving in three days; two sessions, a link for a new password, and another sign-up."""
    accounts.sign_up(
        "canary@example.com", name="Canary Lovelace", org_name="Canary Engines", command_id="canary-command"
    )
    ada = accounts.actor_of(accounts.sign_in("canary@example.com")["token"])
    accounts.tell("change_org", actor=ada, address="1 Canary Street", billing_email="canary@example.com")
    confirmed(accounts, ada)
    accounts.deliver()
    accounts.tell("request_password_reset", email="canary@example.com")
    return ada


def pass_the_time(accounts, **time):
    accounts.wait(**(time or {"days": 3}))
    erasing.begin_due(accounts.database, public_url="https://chat.example")


def told(accounts):
    outbox.sequence(accounts.database)
    with accounts.database.begin() as session:
        log = outbox.read_log(session, "accounts", after=0, limit=500)
    wanted = ("OrgErased", "MemberRemoved", "AccountErased", "DeletionWithdrawn")
    short = [(one.name.removeprefix("accounts."), one.data) for one in log]
    return [(name, data.get("org_id") or data["account_id"]) for name, data in short if name in wanted]


def count(accounts, *kinds):
    with accounts.database.begin() as session:
        return [session.scalars(select(func.count()).select_from(kind)).one() for kind in kinds]


SAGA = (models.Deletion, models.Erasure, models.ErasureOrg, models.ErasureReport)


class TestBegin:
    def test_waits_for_the_moment(self, accounts, ada):
        pass_the_time(accounts, hours=71, minutes=59)

        assert told(accounts) == []
        assert accounts.verify(accounts.sign_in("canary@example.com")["token"])["account_id"] == ada.id

    def test_ends_every_session_and_lets_nobody_sign_in(self, accounts, ada):
        token = accounts.sign_in("canary@example.com")["token"]

        pass_the_time(accounts)

        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(token)
        with pytest.raises(errors.Invalid, match="wrong_credentials"):
            accounts.sign_in("canary@example.com")
        with pytest.raises(errors.NotFound, match="unknown_account"):
            accounts.ask("get_profile", actor=context.Actor(kind="service", id="quota"), account_id=ada.id)

    def test_tells_the_others_of_the_org_and_waits_for_them(self, accounts, ada):
        pass_the_time(accounts)

        assert told(accounts) == [("OrgErased", ada.org_id)]
        assert count(accounts, *SAGA) == [0, 1, 1, 0]

    def test_leaves_nothing_of_the_person_but_the_address_for_the_last_mail(self, accounts, ada):
        before = everything_in(accounts.database)
        assert [canary for canary in CANARIES if canary not in before] == []

        pass_the_time(accounts)
        pruning.prune(accounts.database)  # what was sent before anybody was known is remembered for a day

        found = everything_in(accounts.database)
        assert [canary for canary in CANARIES if canary in found] == ["canary@example.com"]
        with accounts.database.begin() as session:
            assert session.scalars(select(models.Erasure.farewell)).one() == "canary@example.com"

    def test_done_twice_is_once(self, accounts, ada):
        pass_the_time(accounts)
        pass_the_time(accounts, hours=1)

        assert told(accounts) == [("OrgErased", ada.org_id)]

    def test_does_not_come_after_a_withdrawal(self, accounts, ada):
        accounts.tell("withdraw_deletion", actor=ada)

        pass_the_time(accounts)

        assert told(accounts) == [("DeletionWithdrawn", ada.id)]
        assert accounts.sign_in("canary@example.com")["account"]["name"] == "Canary Lovelace"

    def test_of_a_member_takes_only_the_membership_and_the_org_that_is_theirs_alone(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        join(accounts, ada.org_id, eve)
        confirmed(accounts, eve)
        accounts.deliver()

        pass_the_time(accounts)

        assert told(accounts) == [("MemberRemoved", ada.org_id), ("OrgErased", eve.org_id)]
        members = accounts.ask("list_members", actor=ada)
        assert [each["account_id"] for each in members] == [ada.id]
        assert accounts.ask("get_org", actor=ada)["name"] == "Ada"

    def test_of_a_person_without_an_org_of_their_own_waits_for_nobody(self, accounts, others):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        join(accounts, ada.org_id, eve)
        confirmed(accounts, eve)
        with accounts.database.begin() as session:  # as if she had been invited and never had founded one
            own = projections.org_stream(eve.org_id)
            gone = projections.MemberRemoved(org_id=eve.org_id, account_id=eve.id)
            store.execute(session, own, projections.ORG, lambda _state: [gone])
        accounts.deliver()

        pass_the_time(accounts)

        assert told(accounts)[1:] == [("MemberRemoved", ada.org_id), ("AccountErased", eve.id)]
        assert [mail["subject"] for mail in accounts.deliver()] == ["Your account is deleted"]

    def test_is_refused_if_others_have_joined_an_org_of_theirs_and_nothing_is_gone(self, accounts, eve, ada):
        join(accounts, ada.org_id, eve)

        pass_the_time(accounts)

        mails = [mail["subject"] for mail in accounts.deliver()]
        assert told(accounts) == [("DeletionWithdrawn", ada.id)]
        assert "Your account could not be deleted" in mails
        assert accounts.sign_in("canary@example.com")["account"]["name"] == "Canary Lovelace"
        assert count(accounts, *SAGA) == [0, 0, 0, 0]

    def test_leaves_another_person_as_they_are(self, accounts, eve, ada):

        pass_the_time(accounts)

        assert accounts.sign_in("eve@example.com")["account"]["id"] == eve.id
        assert accounts.ask("get_org", actor=eve)["id"] == eve.org_id

    def test_frees_the_address_for_whoever_signs_up_with_it(self, accounts, ada):
        pass_the_time(accounts)

        again = accounts.sign_up("canary@example.com")

        assert again.id != ada.id
        assert again.org_id != ada.org_id

    def test_lets_no_sign_in_and_no_change_through_that_comes_at_the_same_moment(self, accounts, ada):
        accounts.wait(days=3)

        def sign_in(number):
            try:
                accounts.tell("change_name", actor=ada, name=f"Canary {number}")
                return accounts.sign_in("canary@example.com", command_id=f"c{number}")["token"]
            except errors.ServiceError as refused:
                return refused.code

        with ThreadPoolExecutor(4) as pool:
            first = pool.map(sign_in, range(4))
            beginning = pool.submit(erasing.begin_due, accounts.database, public_url="https://chat.example")
            said = {*first, *pool.map(sign_in, range(4, 12))}
            beginning.result()
        while count(accounts, models.Erasure) == [0]:  # it was put off, by who came first
            erasing.begin_due(accounts.database, public_url="https://chat.example")

        tokens = {one for one in said if one.startswith("cht_")}
        assert said - tokens <= {"wrong_credentials", "unknown_account", "erased", "changed_meanwhile"}
        assert count(accounts, models.SignedIn, models.Credential, tables.Personal) == [0, 0, 0]


def test_nothing_is_mailed_to_who_is_gone_by_what_was_under_way(accounts, ada):
    pass_the_time(accounts)
    accounts.deliver()

    with accounts.database.begin() as session:
        mailing.mail_to(session, "canary@example.com", mails.deletion_withdrawn(), subject=ada.id)

    assert accounts.deliver() == []


def waiting_for_locks(accounts):
    """How many transactions wait for another at this moment."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with accounts.database.begin() as session:
        return session.scalars(text(waiting)).one()


class TestReport:
    def test_of_all_three_ends_it_with_a_last_mail(self, accounts, ada, others):
        pass_the_time(accounts)
        accounts.deliver()

        others.report(ada.org_id, "billing", "quota")
        before = told(accounts), [mail["subject"] for mail in accounts.deliver()]
        others.report(ada.org_id, "secrets")

        [mail] = accounts.deliver()
        assert before == ([("OrgErased", ada.org_id)], [])
        assert told(accounts)[1:] == [("AccountErased", ada.id)]
        assert (mail["subject"], mail["to"]) == ("Your account is deleted", "canary@example.com")
        assert count(accounts, *SAGA) == [0, 0, 0, 0]

    def test_leaves_nothing_of_the_person_at_all_when_it_is_over(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id)
        accounts.deliver()
        pruning.prune(accounts.database)  # what was sent before anybody was known is remembered for a day

        found = everything_in(accounts.database)
        assert [canary for canary in CANARIES if canary in found] == []
        assert verification.verify(accounts.database, CATALOGUE).faults == {}
        report = rebuilding.rebuild(accounts.database, "accounts", projections.READ_MODELS, limit=9)
        assert report.differences == []
        assert count(accounts, models.Account, models.Org, models.Member, models.Activity) == [0, 0, 0, 0]

    def test_heard_twice_changes_nothing(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id)
        accounts.deliver()
        before = everything_in(accounts.database)

        for name in CATALOGUES:
            others.hear(name)

        assert (everything_in(accounts.database), accounts.deliver()) == (before, [])

    def test_that_comes_before_the_erasure_is_not_waited_for_again(self, accounts, ada, others):
        """As after accounts was restored to a moment before it, and tells it once more to who has done it."""
        others.report(ada.org_id)
        before = told(accounts)

        pass_the_time(accounts)

        assert (before, told(accounts)) == ([], [("OrgErased", ada.org_id), ("AccountErased", ada.id)])

    def test_about_somebody_elses_org_ends_nothing(self, accounts, eve, ada, others):
        pass_the_time(accounts)

        others.report(eve.org_id)

        assert told(accounts) == [("OrgErased", ada.org_id)]
        assert accounts.ask("get_org", actor=eve)["id"] == eve.org_id

    def test_of_two_at_the_same_moment_ends_it_once(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id, "quota")
        others.tell(ada.org_id, "secrets")

        with ThreadPoolExecutor(1) as pool:
            with accounts.database.begin() as session:
                erasing.report(session, ada.org_id, "billing")
                second = pool.submit(others.hear, "secrets")
                eventually(lambda: second.done() or waiting_for_locks(accounts))
            second.result()

        assert told(accounts)[1:] == [("AccountErased", ada.id)]

    def test_of_each_of_two_orgs_is_waited_for(self, accounts, eve, ada, others):
        with accounts.database.begin() as session:  # both own one that nobody else is in
            second = projections.MemberRemoved(org_id=eve.org_id, account_id=eve.id)
            joined = projections.MemberJoined(org_id=eve.org_id, account_id=ada.id, role="owner")
            stream = projections.org_stream(eve.org_id)
            store.execute(session, stream, projections.ORG, lambda _state: [second, joined])
        pass_the_time(accounts)

        others.report(ada.org_id)
        before = told(accounts)[-1][0]
        others.report(eve.org_id)

        assert (before, told(accounts)[-1]) == ("OrgErased", ("AccountErased", ada.id))


class TestEndDue:
    def test_ends_what_has_all_its_reports_and_nothing_else(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id, "billing", "quota")
        erasing.end_due(accounts.database)
        before = told(accounts)
        with accounts.database.begin() as session:  # both had not seen the other
            now = database.now(session)
            session.add(models.ErasureReport(org_id=ada.org_id, service="secrets", reported_at=now))

        erasing.end_due(accounts.database)
        erasing.end_due(accounts.database)

        assert (before, told(accounts)[1:]) == ([("OrgErased", ada.org_id)], [("AccountErased", ada.id)])


def test_killed_when_it_has_begun_it_goes_on_and_ends(accounts, ada, others):
    accounts.wait(days=3)

    command = [sys.executable, "-c", KILLED_AT, accounts.database.url, str(accounts.database.clock.file)]
    killed = subprocess.run(command, check=False)
    erasing.begin_due(accounts.database, public_url="https://chat.example")
    others.report(ada.org_id)

    assert killed.returncode == -9
    assert told(accounts) == [("OrgErased", ada.org_id), ("AccountErased", ada.id)]
