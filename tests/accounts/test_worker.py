"""What accounts does without a caller."""

from sqlalchemy import func, select

from services.accounts import models, worker
from shared import tables


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
