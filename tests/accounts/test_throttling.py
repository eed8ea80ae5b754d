"""How often somebody may try, through the doors: by whom it is counted, when it is over, and what nobody learns."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from services.accounts import models, passwords, throttling, worker
from shared import context, errors
from tests import databases
from tests.accounts.conftest import PASSWORD

HOME, ELSEWHERE = "198.51.100.1", "203.0.113.9"
WRONG = "seven grey herons sit"


@pytest.fixture
def at_home():
    with context.use(client=HOME):
        yield


def at(client, ask, *arguments, **changes):
    with context.use(client=client):
        return ask(*arguments, **changes)


def code_of(ask, *arguments, **changes):
    """Of the refusal, or empty."""
    try:
        ask(*arguments, **changes)
    except errors.ServiceError as refused:
        return refused.code
    return ""


def fail(accounts, email="ada@example.com", *, times=1, client=HOME):
    return [at(client, code_of, accounts.sign_in, email, WRONG) for _ in range(times)]


def clients(number):
    """As many different ones."""
    return [f"192.0.2.{last}" for last in range(1, number + 1)]


class TestSignIn:
    @pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com", "no address"])
    def test_lets_ten_failures_of_an_address_through_from_wherever_they_come(self, accounts, email):
        accounts.sign_up()

        codes = [at(client, code_of, accounts.sign_in, email, WRONG) for client in clients(11)]

        assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]

    def test_says_the_same_of_a_known_and_an_unknown_address_and_when_to_come_again(self, accounts):
        accounts.sign_up()
        said = []
        for email in ("ada@example.com", "nobody@example.com"):
            for client in clients(10):
                fail(accounts, email, client=client)
            accounts.wait(seconds=20)
            with pytest.raises(errors.LimitReached) as refused:
                at(ELSEWHERE, accounts.sign_in, email, WRONG)
            said.append(refused.value.args)

        assert said[0] == said[1]
        assert said[0][2] == {"retry_after_seconds": 280}

    def test_counts_every_spelling_of_an_address_together(self, accounts):
        for client in clients(10):
            fail(accounts, "ada@example.com", client=client)

        assert fail(accounts, " Ada@EXAMPLE.com", client=ELSEWHERE) == ["rate_limited"]

    def test_lets_ten_failures_of_a_client_through_whoever_they_are_about(self, accounts):
        codes = [fail(accounts, f"{number}@example.com")[0] for number in range(11)]

        assert codes == ["wrong_credentials"] * 10 + ["rate_limited"]
        assert fail(accounts, "0@example.com", client=ELSEWHERE) == ["wrong_credentials"]

    def test_lets_a_thousand_failures_through_in_all(self, accounts, monkeypatch):
        monkeypatch.setattr(throttling, "SIGN_IN", replace(throttling.SIGN_IN, in_all=20))

        codes = [fail(accounts, f"{client}@example.com", client=client)[0] for client in clients(21)]

        assert throttling.PASSWORD.in_all == 1000
        assert codes == ["wrong_credentials"] * 20 + ["rate_limited"]

    def test_takes_what_is_refused_from_nobody_else(self, accounts, monkeypatch):
        """Or whoever is refused could go on until all are."""
        monkeypatch.setattr(throttling, "SIGN_IN", replace(throttling.SIGN_IN, in_all=20))

        fail(accounts, times=40)

        assert fail(accounts, "eve@example.com", client=ELSEWHERE) == ["wrong_credentials"]

    def test_is_open_again_when_the_five_minutes_are_over_and_not_before(self, accounts):
        accounts.sign_up()
        fail(accounts, times=10)

        accounts.wait(minutes=5, microseconds=-1)
        assert at(HOME, code_of, accounts.sign_in) == "rate_limited"
        accounts.wait(microseconds=1)
        assert at(HOME, code_of, accounts.sign_in) == ""

    def test_does_not_count_who_signs_in(self, accounts, at_home):
        accounts.sign_up()

        assert [code_of(accounts.sign_in) for _ in range(15)] == [""] * 15

    def test_does_not_count_who_was_not_served(self, accounts, at_home, monkeypatch):
        accounts.sign_up()
        with monkeypatch.context() as patch:
            patch.setattr(passwords, "_gate", passwords.Gate(at_once=0, waiting=0))
            assert [code_of(accounts.sign_in) for _ in range(15)] == ["busy"] * 15

        assert code_of(accounts.sign_in) == ""

    def test_leaves_whoever_is_signed_in_alone(self, accounts):
        ada = accounts.sign_up()
        signed_in = accounts.sign_in()["token"]
        fail(accounts, times=12)

        assert accounts.verify(signed_in)["role"] == "owner"
        assert at(HOME, accounts.ask, "get_account", actor=ada)["name"] == "Ada"

    def test_lets_the_owner_in_from_where_they_were_before_while_others_guess(self, accounts):
        accounts.sign_up()
        at(HOME, accounts.sign_in)
        for client in clients(12):
            fail(accounts, client=client)

        assert at(ELSEWHERE, code_of, accounts.sign_in) == "rate_limited"
        assert at(HOME, code_of, accounts.sign_in) == ""

    def test_bounds_guesses_from_where_the_owner_was_before_too(self, accounts):
        accounts.sign_up()
        at(HOME, accounts.sign_in)

        assert fail(accounts, times=11) == ["wrong_credentials"] * 10 + ["rate_limited"]

    def test_forgets_where_somebody_was_after_thirty_days(self, accounts):
        accounts.sign_up()
        at(HOME, accounts.sign_in)
        accounts.wait(days=30)
        for client in clients(10):
            fail(accounts, client=client)

        assert at(HOME, code_of, accounts.sign_in) == "rate_limited"

    def test_lets_the_owner_in_from_anywhere_after_a_mailed_link(self, accounts):
        accounts.sign_up()
        for client in clients(12):
            fail(accounts, client=client)
        accounts.tell("request_password_reset", email="ada@example.com")
        token = accounts.mailed_token()

        at(ELSEWHERE, accounts.tell, "reset_password", token=token, password="nine white egrets sleep")

        assert at(ELSEWHERE, code_of, accounts.sign_in, password="nine white egrets sleep") == ""

    def test_lets_no_more_through_at_once_than_one_by_one(self, accounts):
        ready = threading.Barrier(30)

        def try_it(number):
            ready.wait(10)
            return fail(accounts, client=f"192.0.2.{number}")[0]

        with ThreadPoolExecutor(30) as crowd:
            codes = list(crowd.map(try_it, range(30)))

        assert codes.count("wrong_credentials") <= 10
        assert set(codes) <= {"wrong_credentials", "rate_limited", "busy", "database_unavailable"}
        assert taken(accounts) <= 10

    def test_may_be_widened_for_clients_but_not_for_an_address(self, accounts):
        accounts.doors.house = replace(
            accounts.doors.house, settings=replace(accounts.settings, client_limit_factor=2)
        )

        codes = [fail(accounts, f"{number}@example.com")[0] for number in range(21)]
        of_one = [fail(accounts, client=client)[0] for client in clients(11)]

        assert codes == ["wrong_credentials"] * 20 + ["rate_limited"]
        assert of_one == ["wrong_credentials"] * 10 + ["rate_limited"]


def taken(accounts):
    """The most that any bucket of an address or a client holds."""
    with accounts.database.begin() as session:
        of_one = select(func.max(models.Throttle.taken)).where(models.Throttle.most < 1000)
        return session.scalar(of_one)


class TestOtherDoors:
    def test_bounds_how_often_one_address_is_registered(self, accounts):
        codes = [at(client, code_of, accounts.register) for client in clients(6)]

        assert codes == [""] * 5 + ["rate_limited"]
        assert len(accounts.deliver()) == 5

    def test_bounds_it_for_a_known_address_alike(self, accounts):
        accounts.sign_up()

        assert [at(client, code_of, accounts.register) for client in clients(5)] == [""] * 4 + ["rate_limited"]

    def test_bounds_how_many_one_client_registers(self, accounts, at_home):
        codes = [code_of(accounts.register, f"{number}@example.com") for number in range(21)]

        assert codes == [""] * 20 + ["rate_limited"]

    def test_does_not_count_a_registration_that_was_refused(self, accounts, at_home):
        for _ in range(25):
            assert code_of(accounts.register, password="too short") == "password_too_short"

        assert code_of(accounts.register) == ""

    @pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com"])
    def test_bounds_how_often_a_new_password_is_asked_for(self, accounts, email):
        accounts.sign_up()

        ask = [at(client, code_of, accounts.tell, "request_password_reset", email=email) for client in clients(11)]

        assert ask == [""] * 10 + ["rate_limited"]

    def test_bounds_how_many_made_up_invitations_one_client_looks_at(self, accounts, at_home):
        looked = [code_of(accounts.ask, "get_invitation", token="x" * 43) for _ in range(31)]

        assert looked == ["invalid_invitation"] * 30 + ["rate_limited"]
        assert at(ELSEWHERE, code_of, accounts.ask, "get_invitation", token="x") == "invalid_invitation"

    def test_lets_an_invitation_be_looked_at_as_often_as_one_likes(self, accounts, at_home):
        accounts.tell("invite", actor=accounts.sign_up(), email="eve@example.com")
        token = accounts.mailed_token()

        assert {code_of(accounts.ask, "get_invitation", token=token) for _ in range(40)} == {""}

    def test_bounds_how_many_made_up_tokens_one_client_tries(self, accounts, at_home):
        accounts.register()
        token = accounts.mailed_token()
        confirmed = [code_of(accounts.tell, "confirm_email", token="x" * 43) for _ in range(15)]
        reset = [code_of(accounts.tell, "reset_password", token="x" * 43, password=PASSWORD + "!") for _ in range(16)]

        assert confirmed + reset == ["invalid_token"] * 30 + ["rate_limited"]
        assert code_of(accounts.tell, "confirm_email", token=token) == "rate_limited"
        assert at(ELSEWHERE, code_of, accounts.tell, "confirm_email", token=token) == ""


class TestWhatIsKept:
    def test_holds_neither_an_address_nor_a_clients(self, accounts, at_home):
        accounts.sign_up()
        fail(accounts, "nobody@example.com")

        everything = databases.everything_in(accounts.database)

        assert HOME not in everything
        assert "nobody@example.com" not in everything

    def test_is_forgotten_when_it_no_longer_counts(self, accounts, at_home):
        accounts.sign_up()
        fail(accounts)

        accounts.wait(days=30)
        worker.prune(accounts.database)

        with accounts.database.begin() as session:
            left = [session.scalar(select(func.count()).select_from(table)) for table in TABLES]
        assert left == [0, 0]


TABLES = (models.Throttle, models.Familiar)
