"""What was erased stays erased after a restore, by a file that no backup holds."""

import json
import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from ops import register
from services.accounts import models as accounts_models
from services.accounts.events import OrgFounded
from services.billing import models as billing_models
from services.billing import worker as billing_worker
from services.quota import models as quota_models
from shared import errors, jobs, personal
from tests.accounts.conftest import accounts, light_hashes, smtp_server
from tests.accounts.test_deletions import confirmed, join
from tests.accounts.test_erasing import Others, count, pass_the_time, told
from tests.billing.conftest import Billing, billing
from tests.billing.test_erasing import erasure, live_customers, statuses
from tests.databases import everything_in

__all__ = ["accounts", "billing", "erasure", "light_hashes", "smtp_server"]
AT = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def kept(tmp_path):
    return register.Register(tmp_path / "erased.jsonl")


def again(kept):
    """As a process that starts anew knows it."""
    return register.Register(kept.file)


@pytest.mark.pure
class TestRegister:
    def test_keeps_each_id_once_in_its_order_with_the_moment(self, kept):
        assert kept.ids() == []

        written = [kept.append({"org_1": AT, "acc_1": AT}), kept.append({"acc_1": AT}), kept.append({"org_2": AT})]

        assert written == [2, 0, 1]
        assert again(kept).ids() == ["org_1", "acc_1", "org_2"]
        first = json.loads(kept.file.read_text().splitlines()[0])
        assert first == {"id": "org_1", "erased_at": "2026-11-29T00:00:00Z"}

    def test_of_two_processes_is_that_of_both(self, kept):
        other = again(kept)
        kept.append({"org_1": AT})
        other.append({"org_1": AT, "org_2": AT})

        assert again(kept).ids() == ["org_1", "org_2"]

    @pytest.mark.parametrize("torn", ['{"id": "org_', "\x00\x00\x00", "[]", '{"other": 1}', "\n\n"])
    def test_goes_on_behind_a_line_that_a_crash_has_cut_off(self, kept, torn):
        kept.append({"org_1": AT})
        with kept.file.open("a") as file:
            file.write(torn)

        again(kept).append({"org_2": AT})

        assert again(kept).ids() == ["org_1", "org_2"]


class TestNote:
    def test_writes_down_what_was_erased_since(self, accounts, kept):
        ada = accounts.sign_up()
        assert kept.note(accounts.database) == 0
        confirmed(accounts, ada)

        pass_the_time(accounts)

        assert (kept.note(accounts.database), kept.note(accounts.database)) == (2, 0)
        assert set(again(kept).ids()) == {ada.id, ada.org_id}


class TestApply:
    """Each database is as a backup has it, from before the erasure."""

    def test_erases_a_person_and_their_org_again_and_nobody_else(self, accounts, kept):
        eve = accounts.sign_up("eve@example.com")
        ada = accounts.sign_up("canary@example.com", name="Canary Lovelace")
        kept.append({ada.id: AT, ada.org_id: AT, "acc_of_later": AT, "org_of_later": AT})

        register.apply(again(kept), {"accounts": accounts.database})

        assert told(accounts) == [("OrgErased", ada.org_id), ("AccountErased", ada.id)]
        assert [canary for canary in ("canary@", "Canary") if canary in everything_in(accounts.database)] == []
        assert accounts.sign_in("eve@example.com")["account"]["id"] == eve.id
        with pytest.raises(errors.Invalid, match="wrong_credentials"):
            accounts.sign_in("canary@example.com")
        with accounts.database.begin() as session:
            assert personal.is_erased(session, "acc_of_later")

    def test_twice_is_once(self, accounts, kept):
        ada = accounts.sign_up()
        kept.append({ada.id: AT, ada.org_id: AT})
        register.apply(kept, {"accounts": accounts.database})
        before = everything_in(accounts.database)

        register.apply(kept, {"accounts": accounts.database})

        assert everything_in(accounts.database) == before

    def test_takes_a_person_out_of_an_org_that_they_owned_in_the_backup(self, accounts, kept):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        join(accounts, ada.org_id, eve)
        kept.append({ada.id: AT})

        register.apply(kept, {"accounts": accounts.database})

        assert told(accounts) == [("MemberRemoved", ada.org_id), ("AccountErased", ada.id)]
        assert [one["name"] for one in accounts.ask("list_orgs", actor=eve)] == ["Ada", "Ada"]

    def test_leaves_no_report_that_comes_once_more(self, accounts, kept, open_database):
        ada = accounts.sign_up()
        kept.append({ada.id: AT, ada.org_id: AT})
        register.apply(kept, {"accounts": accounts.database})

        Others(accounts, open_database).report(ada.org_id)

        assert count(accounts, accounts_models.ErasureReport, accounts_models.Erasure) == [0, 0]

    def test_erases_an_org_in_quota_again(self, quota, kept):
        quota.send(quota.tell("create_bot", name="Anna")["id"], "msg_1")
        kept.append({"org_1": AT})

        register.apply(kept, {"quota": quota.database})

        with pytest.raises(errors.NotFound, match="erased"):
            quota.ask("get_usage")
        with quota.database.begin() as session:
            assert session.scalars(select(quota_models.Org.org_id)).all() == []

    def test_ends_at_stripe_what_runs_there_again(self, billing: Billing, erasure, kept):
        erasure.say(OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1))
        billing.subscribe("starter")
        kept.append({"acc_1": AT, "org_1": AT})

        register.apply(kept, {"billing": billing.database})
        jobs.Runner(billing.database, billing_worker.work(billing.settings, billing.database).jobs).run_due(
            threading.Event()
        )

        assert (statuses(billing), live_customers(billing), erasure.told()) == (["canceled"], [], ["org_1"])
        with billing.database.begin() as session:
            assert session.scalars(select(billing_models.Customer.org_id)).all() == []
