import pytest

from services.accounts import mails

pytestmark = pytest.mark.pure


class TestConfirmAddress:
    def test_has_the_link_on_a_line_of_its_own_and_says_how_long_it_is_good(self):
        mail = mails.confirm_address(link="https://chat.example/confirm-email?token=t", hours=24)

        assert "https://chat.example/confirm-email?token=t" in mail.text.splitlines()
        assert "24 hours" in mail.text


class TestResetPassword:
    def test_has_the_link_on_a_line_of_its_own_and_says_how_long_it_is_good(self):
        mail = mails.reset_password(link="https://chat.example/reset-password?token=t", minutes=60)

        assert "https://chat.example/reset-password?token=t" in mail.text.splitlines()
        assert "60 minutes, and once" in mail.text


class TestPasswordChanged:
    def test_says_what_to_do_if_it_was_somebody_else(self):
        mail = mails.password_changed(reset_link="https://chat.example/forgotten-password")

        assert "https://chat.example/forgotten-password" in mail.text.splitlines()


class TestAlreadyRegistered:
    def test_tells_the_owner_that_nothing_was_changed(self):
        mail = mails.already_registered(sign_in_link="https://chat.example/sign-in")

        assert "https://chat.example/sign-in" in mail.text.splitlines()
        assert "nothing was changed" in mail.text
