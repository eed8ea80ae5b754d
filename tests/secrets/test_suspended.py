"""The secrets of a suspended org."""

import pytest

from services.accounts.events import OrgErased, OrgRestored, OrgSuspended
from services.gateway import api_secret
from services.secrets import worker
from shared import errors
from tests.databases import everything_in
from tests.erasures import Erasure
from tests.secrets.conftest import STRANGER

SUSPENDED = OrgSuspended(org_id="org_1", cause="a-cause-of-its-own", reason_version=1)


@pytest.fixture
def accounts(secrets, open_database) -> Erasure:
    hears = worker.work(secrets.doors.house.settings, secrets.database).hears[0]
    return Erasure(open_database("accounts"), secrets.database, "secrets", hears)


class TestSecrets:
    def test_are_known_and_shown_and_no_new_value_is_made(self, secrets, accounts):
        value = api_secret.generate()
        made = secrets.create(value)
        accounts.say(SUSPENDED)

        for refused in (secrets.create, lambda: secrets.rotate(made["id"])):
            with pytest.raises(errors.Forbidden, match="org_suspended"):
                refused()

        assert secrets.is_known(value)
        assert [one["id"] for one in secrets.ask("list_secrets")] == [made["id"]]
        assert secrets.create(actor=STRANGER)["state"] == "active"

    def test_can_be_revoked(self, secrets, accounts):
        value = api_secret.generate()
        made = secrets.create(value)
        accounts.say(SUSPENDED)

        secrets.tell("revoke_secret", secret_id=made["id"])

        assert not secrets.is_known(value)

    def test_are_as_they_were_once_the_org_is_restored(self, secrets, accounts):
        made = secrets.create()
        accounts.say(SUSPENDED, OrgRestored(org_id="org_1", reason_version=2))

        assert secrets.ask("get_secret", secret_id=made["id"]) == made
        assert secrets.rotate(made["id"])["state"] == "active"

    def test_leave_nothing_of_it_with_the_org(self, secrets, accounts):
        accounts.say(SUSPENDED)
        assert SUSPENDED.cause in everything_in(secrets.database)

        accounts.say(OrgErased(org_id="org_1"))

        assert SUSPENDED.cause not in everything_in(secrets.database)
