import pytest

from services.accounts import account
from services.accounts.events import AccountRegistered, ProfileChanged
from shared import errors

pytestmark = pytest.mark.pure

ADA = account.evolve(account.Account(), AccountRegistered(account_id="acc_1", profile_version=1))


class TestRegister:
    def test_says_with_which_profile_the_account_begins(self):
        facts = account.register(account.Account(), account_id="acc_1", profile_version=1)

        assert facts == [AccountRegistered(account_id="acc_1", profile_version=1)]

    def test_happens_once(self):
        with pytest.raises(errors.Conflict, match="account_exists"):
            account.register(ADA, account_id="acc_1", profile_version=2)


class TestChangeProfile:
    def test_says_which_version_holds_now(self):
        facts = account.change_profile(ADA, profile_version=2)

        assert facts == [ProfileChanged(account_id="acc_1", profile_version=2)]

    def test_needs_an_account(self):
        with pytest.raises(errors.NotFound, match="unknown_account"):
            account.change_profile(account.Account(), profile_version=2)


class TestEvolve:
    def test_leaves_what_it_does_not_know_alone(self):
        assert account.evolve(ADA, ProfileChanged(account_id="acc_1", profile_version=2)) == ADA
