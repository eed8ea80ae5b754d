"""The own account, the org and its members, through the doors."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from services.accounts import projections
from shared import context, errors, events, outbox, revisions, store

RUNTIME = context.Actor(kind="service", id="runtime")


class TestGetAccount:
    def test_shows_the_own_one(self, accounts):
        ada = accounts.sign_up("Ada@example.com")

        assert accounts.ask("get_account", actor=ada) == {
            "id": ada.id,
            "name": "Ada",
            "email": "Ada@example.com",
            "picture": None,
            "created_at": "2026-11-22T12:00:00Z",
        }

    def test_needs_a_person(self, accounts):
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            accounts.ask("get_account")


class TestChangeName:
    def test_shows_the_new_one_and_tells_the_others(self, accounts):
        ada = accounts.sign_up()

        answer = accounts.tell("change_name", actor=ada, name=" Ada Lovelace ")

        assert answer["name"] == "Ada Lovelace"
        assert answer["email"] == "ada@example.com"
        assert accounts.ask("get_profile", actor=RUNTIME, account_id=ada.id) == {
            "account_id": ada.id,
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "picture_url": None,
            "profile_version": 2,
        }
        assert names_told(accounts)[-1] == "accounts.ProfileChanged"

    def test_loses_none_of_many_at_once(self, accounts):
        ada = accounts.sign_up()
        ready = threading.Barrier(4)

        def change(number):
            ready.wait(5)
            return accounts.tell("change_name", actor=ada, name=f"Ada {number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(4)))

        assert accounts.ask("get_profile", actor=RUNTIME, account_id=ada.id)["profile_version"] == 5

    def test_lets_one_of_many_through_who_saw_the_same_revision(self, accounts):
        ada = accounts.sign_up()
        seen = revisions.of(accounts.ask("get_account", actor=ada))
        ready = threading.Barrier(4)

        def change(number):
            ready.wait(5)
            with context.use(if_match=(seen,)):
                try:
                    return accounts.tell("change_name", actor=ada, name=f"Ada {number}")["name"]
                except errors.Conflict as refusal:
                    return refusal.code

        with ThreadPoolExecutor(4) as pool:
            outcomes = sorted(pool.map(change, range(4)))

        assert outcomes[1:] == ["precondition_failed"] * 3
        assert accounts.ask("get_account", actor=ada)["name"] == outcomes[0]

    def test_refuses_what_is_no_name(self, accounts):
        ada = accounts.sign_up()

        with pytest.raises(errors.Invalid, match="invalid_name"):
            accounts.tell("change_name", actor=ada, name="\x1b[31mAda")


class TestGetOrg:
    def test_shows_the_owner_everything(self, accounts):
        ada = accounts.sign_up(org_name="Analytical Engines")

        assert accounts.ask("get_org", actor=ada) == {
            "id": ada.org_id,
            "name": "Analytical Engines",
            "owner_id": ada.id,
            "created_at": "2026-11-22T12:00:00Z",
            "suspended_at": None,
            "legal_name": "",
            "address": "",
            "tax_id": "",
            "billing_email": "",
        }

    @pytest.mark.parametrize(
        "other",
        [
            context.Actor(kind="person", id="acc_2", role="member"),
            context.Actor(kind="secret", id="sec_1", scopes=("profile:read",)),
            RUNTIME,
        ],
    )
    def test_shows_everybody_else_in_it_no_more_than_its_name(self, accounts, other):
        ada = accounts.sign_up()

        shown = accounts.ask("get_org", actor=replace(other, org_id=ada.org_id))

        assert sorted(shown) == ["created_at", "id", "name", "owner_id", "suspended_at"]

    def test_does_not_know_an_org_that_is_not_there(self, accounts):
        with pytest.raises(errors.NotFound, match="unknown_org"):
            accounts.ask("get_org", actor=replace(RUNTIME, org_id="org_none"))


class TestChangeOrg:
    def test_changes_what_is_named_and_clears_what_is_empty(self, accounts):
        ada = accounts.sign_up(org_name="Engines")
        accounts.tell("change_org", actor=ada, address="1 Road\r\nLondon", tax_id="GB 1")

        answer = accounts.tell("change_org", actor=ada, legal_name="Engines Ltd", tax_id="")

        assert answer["name"] == "Engines"
        assert answer["legal_name"] == "Engines Ltd"
        assert answer["address"] == "1 Road\nLondon"
        assert answer["tax_id"] == ""
        assert names_told(accounts)[-2:] == ["accounts.OrgChanged", "accounts.OrgChanged"]

    def test_refuses_whoever_saw_an_older_revision(self, accounts):
        ada = accounts.sign_up(org_name="Engines")
        seen = revisions.of(accounts.ask("get_org", actor=ada))

        with context.use(if_match=("another", seen)):
            accounts.tell("change_org", actor=ada, name="Looms")
            with pytest.raises(errors.Conflict, match="precondition_failed"):
                accounts.tell("change_org", actor=ada, name="Mills")

        assert accounts.ask("get_org", actor=ada)["name"] == "Looms"

    @pytest.mark.parametrize(
        "change, code",
        [
            ({"name": ""}, "invalid_name"),
            ({"legal_name": "x" * 201}, "invalid_legal_name"),
            ({"address": "x" * 501}, "invalid_address"),
            ({"tax_id": "1\n2"}, "invalid_tax_id"),
            ({"billing_email": "nowhere"}, "invalid_billing_email"),
        ],
    )
    def test_says_which_field_cannot_be_accepted(self, accounts, change, code):
        ada = accounts.sign_up()

        with pytest.raises(errors.Invalid) as refused:
            accounts.tell("change_org", actor=ada, **change)

        assert refused.value.code == code
        assert refused.value.details["errors"][0]["pointer"] == f"/{next(iter(change))}"

    def test_is_for_the_owner(self, accounts):
        ada = accounts.sign_up()

        with pytest.raises(errors.Forbidden, match="owner_only"):
            accounts.tell("change_org", actor=replace(ada, role="member"), name="Mine")


class TestListOrgs:
    def test_says_in_which_role_somebody_is_where(self, accounts):
        ada = accounts.sign_up(org_name="Engines")
        accounts.sign_up("eve@example.com")

        assert accounts.ask("list_orgs", actor=ada) == [{"id": ada.org_id, "name": "Engines", "role": "owner"}]


class TestListMembers:
    def test_shows_names_and_roles_and_no_addresses(self, accounts):
        ada = accounts.sign_up()
        accounts.sign_up("eve@example.com")

        assert accounts.ask("list_members", actor=ada) == [
            {
                "account_id": ada.id,
                "name": "Ada",
                "picture": None,
                "role": "owner",
                "joined_at": "2026-11-22T12:00:00Z",
            }
        ]
        assert accounts.ask("list_members", actor=ada, after=ada.id) == []


class TestGetProfile:
    def test_does_not_know_an_account_that_is_not_there(self, accounts):
        with pytest.raises(errors.NotFound, match="unknown_account"):
            accounts.ask("get_profile", actor=RUNTIME, account_id="acc_none")

    def test_is_for_services(self, accounts):
        ada = accounts.sign_up()

        with pytest.raises(errors.Forbidden, match="not_allowed"):
            accounts.ask("get_profile", actor=ada, account_id=ada.id)


class TestGetOrgProfile:
    def test_writes_to_the_owner_until_the_org_has_an_address_for_bills(self, accounts):
        ada = accounts.sign_up()

        before = accounts.ask("get_org_profile", actor=RUNTIME, org_id=ada.org_id)
        accounts.tell("change_org", actor=ada, billing_email="bills@example.com")
        after = accounts.ask("get_org_profile", actor=RUNTIME, org_id=ada.org_id)

        assert (before["billing_email"], before["profile_version"]) == ("ada@example.com", 1)
        assert (after["billing_email"], after["profile_version"]) == ("bills@example.com", 2)


def test_the_streams_fold_to_what_the_doors_decided(accounts):
    ada = accounts.sign_up()
    accounts.tell("change_name", actor=ada, name="Ada Lovelace")

    with accounts.database.begin() as session:
        account = store.load(session, projections.account_stream(ada.id), projections.ACCOUNT)
        org = store.load(session, projections.org_stream(ada.org_id), projections.ORG)

    assert (account.state.account_id, account.version) == (ada.id, 2)
    assert (org.state.org_id, org.version) == (ada.org_id, 2)


def names_told(accounts):
    """The public events in their order, as the others hear them."""
    outbox.sequence(accounts.database)
    with accounts.database.begin() as session:
        pulled = outbox.pull(session, "accounts", after=0, hash=events.GENESIS.hex(), limit=100)
    return [event["type"] for event in pulled["events"]]
