"""Signing in, and what becomes of sessions, through the doors."""

import argon2
import pytest
from sqlalchemy import select, update

from services.accounts import models, passwords
from shared import errors
from tests.accounts.conftest import GATEWAY, PASSWORD


class CountingHasher(argon2.PasswordHasher):
    """argon2 as it is, and how often it was asked."""

    verifications = 0

    def verify(self, *arguments):
        self.verifications += 1
        return super().verify(*arguments)


@pytest.fixture
def hasher(monkeypatch):
    counting = CountingHasher()
    monkeypatch.setattr(passwords, "_hasher", counting)
    return counting


def refusal_of_sign_in(accounts, **changes):
    with pytest.raises(errors.ServiceError) as refused:
        accounts.sign_in(**changes)
    return refused.value


class TestCreateSession:
    def test_answers_with_the_token_and_who_and_where_somebody_is(self, accounts):
        accounts.sign_up(org_name="Analytical Engines")

        answer = accounts.sign_in("ADA@example.com")

        assert answer["token"].startswith("cht_")
        assert len(answer["token"]) == 4 + 43
        assert answer["expires_at"] == "2026-11-29T12:00:00Z"
        assert answer["account"]["name"] == "Ada"
        assert answer["org"]["name"] == "Analytical Engines"
        assert answer["orgs"] == [{"id": answer["org"]["id"], "name": "Analytical Engines", "role": "owner"}]

    def test_makes_another_token_each_time(self, accounts):
        accounts.sign_up()

        assert accounts.sign_in()["token"] != accounts.sign_in()["token"]

    def test_signs_in_once_per_command_and_person_and_never_keeps_the_token(self, accounts):
        accounts.sign_up()
        accounts.sign_up("bob@example.com")
        first = accounts.sign_in(command_id="cmd_same")

        refused = refusal_of_sign_in(accounts, command_id="cmd_same")

        assert (type(refused), refused.code) == (errors.Conflict, "session_already_created")
        assert refused.details == {"session_id": first["session_id"]}
        assert refusal_of_sign_in(accounts, password="a guess", command_id="cmd_same").code == "wrong_credentials"
        assert accounts.sign_in("bob@example.com", command_id="cmd_same")["token"]

    @pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com", "no address", "\ud800@example.com"])
    def test_tells_an_unknown_address_and_a_wrong_password_apart_neither_by_answer_nor_by_work(
        self, accounts, hasher, email
    ):
        accounts.sign_up()
        hasher.verifications = 0

        refused = refusal_of_sign_in(accounts, email=email, password="not the password")

        assert (type(refused), *refused.args) == (
            errors.Invalid,
            "wrong_credentials",
            "The address or the password is wrong.",
            {},
        )
        assert hasher.verifications == 1

    def test_says_that_an_address_is_unconfirmed_only_to_who_knows_the_password(self, accounts, hasher):
        accounts.register()

        knows, guesses = (refusal_of_sign_in(accounts, password=password) for password in (PASSWORD, "a guess"))

        assert (type(knows), knows.code) == (errors.Forbidden, "address_unconfirmed")
        assert (type(guesses), guesses.code) == (errors.Invalid, "wrong_credentials")
        assert hasher.verifications == 2

    def test_forgets_an_unconfirmed_address_after_a_day(self, accounts):
        accounts.register()
        accounts.wait(hours=24)

        assert refusal_of_sign_in(accounts).code == "wrong_credentials"

    def test_makes_a_weaker_hash_of_former_days_stronger(self, accounts):
        accounts.sign_up()
        weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
        with accounts.database.begin() as session:
            session.execute(update(models.Credential).values(password_hash=weak))

        accounts.sign_in()

        with accounts.database.begin() as session:
            kept = session.scalars(select(models.Credential.password_hash)).one()
        assert not passwords.is_outdated(kept)
        assert accounts.sign_in()["account"]["name"] == "Ada"

    def test_drops_what_is_not_printable_from_the_name_of_the_program(self, accounts):
        ada = accounts.sign_up()

        accounts.sign_in(user_agent="Firefox\x00\r\n" + "x" * 1000)

        newest = accounts.ask("list_sessions", actor=ada)[0]
        assert newest["user_agent"] == ("Firefox" + "x" * 1000)[:300]


class TestVerifySession:
    def test_knows_who_acts_and_in_which_role(self, accounts):
        ada = accounts.sign_up()

        assert ada.id.startswith("acc_")
        assert ada.org_id.startswith("org_")
        assert ada.role == "owner"

    @pytest.mark.parametrize("sha256", ["", "no hexadecimal", "00" * 32])
    def test_does_not_know_what_it_never_gave(self, accounts, sha256):
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.ask("verify_session", actor=GATEWAY, sha256=sha256)

    def test_is_asked_by_services_only(self, accounts):
        ada = accounts.sign_up()

        with pytest.raises(errors.Forbidden, match="not_allowed"):
            accounts.ask("verify_session", actor=ada, sha256="00" * 32)

    def test_ends_a_session_at_the_moment_at_which_it_has_rested_for_a_week(self, accounts):
        accounts.sign_up()
        token, other = (accounts.sign_in()["token"] for _ in range(2))
        accounts.wait(days=7, microseconds=-1)
        assert accounts.verify(token)["expires_at"] != "2026-11-29T12:00:00Z"

        accounts.wait(microseconds=1)

        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(other)

    def test_ends_a_session_no_later_because_the_clock_was_set_back_or_forth(self, accounts):
        accounts.sign_up()
        session = accounts.sign_in()
        for hours in (-1, 2):
            accounts.wait(hours=hours)
            accounts.verify(session["token"])
        accounts.wait(hours=-1)

        assert accounts.verify(session["token"])["expires_at"] == "2026-11-29T13:00:00Z"

    def test_counts_the_week_from_the_last_use(self, accounts):
        accounts.sign_up()
        token = accounts.sign_in()["token"]
        accounts.wait(days=6)
        accounts.verify(token)
        accounts.wait(days=6)

        assert accounts.verify(token)["expires_at"] == "2026-12-11T12:00:00Z"

    def test_ends_a_session_after_thirty_days_however_much_it_is_used(self, accounts):
        accounts.sign_up()
        token = accounts.sign_in()["token"]
        for _ in range(5):
            accounts.wait(days=5)
            accounts.verify(token)

        assert accounts.verify(token)["expires_at"] == "2026-12-22T12:00:00Z"
        accounts.wait(days=5, microseconds=-1)
        assert accounts.verify(token)["expires_at"] == "2026-12-22T12:00:00Z"
        accounts.wait(microseconds=1)
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(token)

    def test_writes_down_the_use_once_a_minute(self, accounts):
        accounts.sign_up()
        token = accounts.sign_in()["token"]

        accounts.wait(seconds=59)
        assert accounts.verify(token)["expires_at"] == "2026-11-29T12:00:00Z"
        accounts.wait(seconds=1)
        assert accounts.verify(token)["expires_at"] == "2026-11-29T12:01:00Z"


class TestListSessions:
    def test_shows_the_latest_first_and_which_one_asks(self, accounts):
        ada = accounts.sign_up()
        accounts.wait(hours=1)
        accounts.sign_in(user_agent="Firefox")

        listed = accounts.ask("list_sessions", actor=ada)

        assert [(one["user_agent"], one["current"]) for one in listed] == [("Firefox", False), ("", True)]
        assert (listed[1]["id"], listed[1]["org_id"]) == (ada.session_id, ada.org_id)

    def test_leaves_out_those_that_have_ended(self, accounts):
        ada = accounts.sign_up()
        accounts.wait(days=7)

        assert accounts.ask("list_sessions", actor=ada) == []


class TestEndSession:
    def test_ends_another_of_the_own_sessions(self, accounts):
        ada = accounts.sign_up()
        other = accounts.sign_in()

        accounts.tell("end_session", actor=ada, session_id=other["session_id"])

        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(other["token"])

    def test_does_not_know_somebody_elses(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")

        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.tell("end_session", actor=eve, session_id=ada.session_id)

        assert [one["id"] for one in accounts.ask("list_sessions", actor=ada)] == [ada.session_id]

    def test_answers_the_same_to_the_same_command(self, accounts):
        ada = accounts.sign_up()
        other = accounts.sign_in()

        first = accounts.tell("end_session", actor=ada, command_id="cmd_end", session_id=other["session_id"])
        again = accounts.tell("end_session", actor=ada, command_id="cmd_end", session_id=other["session_id"])

        assert first == again == {}


class TestEndCurrentSession:
    def test_signs_out(self, accounts):
        accounts.sign_up()
        token = accounts.sign_in()["token"]

        accounts.tell("end_current_session", actor=accounts.actor_of(token))

        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(token)
