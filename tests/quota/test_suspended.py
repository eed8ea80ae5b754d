"""Messages and bots of a suspended org."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from services.accounts.events import OrgErased, OrgRestored, OrgSuspended
from services.quota import worker
from shared import context, database, errors, personal, tables
from shared.frozen import changed
from tests.erasures import Erasure
from tests.quota.conftest import GATEWAY, OWNER, SETTINGS, Quota, for_gateway

OTHER = changed(OWNER, id="acc_2", org_id="org_2")
RUNTIME = context.Actor(kind="service", id="runtime", org_id="org_1")


@pytest.fixture
def accounts(quota: Quota, open_database: Callable[[str], database.Database]) -> Erasure:
    """Whose log says who is suspended; quota hears it through its inbox."""
    return Erasure(open_database("accounts"), quota.database, "quota", worker.work(SETTINGS, quota.database).hears[1])


@pytest.fixture
def bot_id(quota: Quota) -> str:
    """Of an org that has sent `msg_1`."""
    made: str = quota.tell("create_bot", name="Charles")["id"]
    quota.send(made, "msg_1")
    return made


SUSPENDED = OrgSuspended(org_id="org_1", cause="abuse", reason_version=1)
RESTORED = OrgRestored(org_id="org_1", reason_version=2)


def codes(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["refused"]["code"] if "refused" in answer else "admitted" for answer in answers]


class TestMessages:
    def test_are_refused_and_not_counted_until_the_org_is_restored(
        self, quota: Quota, accounts: Erasure, bot_id: str
    ) -> None:
        accounts.say(SUSPENDED)
        (refused,) = quota.send(bot_id, "msg_2")
        accounts.say(RESTORED)

        (admitted,) = quota.send(bot_id, "msg_2")

        assert refused["refused"]["kind"] == "Forbidden"
        assert codes([refused, admitted]) == ["org_suspended", "admitted"]
        assert admitted["admitted"]["used"] == 2

    def test_that_were_counted_before_keep_their_answer_and_can_be_refunded(
        self, quota: Quota, accounts: Erasure, bot_id: str
    ) -> None:
        (before,) = quota.send(bot_id, "msg_2")
        accounts.say(SUSPENDED)

        assert quota.send(bot_id, "msg_2") == [before]
        assert quota.ask("get_message", message_id="msg_2") == before["admitted"]
        quota.tell("refund_message", message_id="msg_2")
        assert quota.ask("get_usage")["used"] == 1

    def test_of_another_org_are_counted_in_the_same_batch(self, quota: Quota, accounts: Erasure, bot_id: str) -> None:
        quota.subscribe(org_id="org_2")
        other = quota.tell("create_bot", actor=OTHER, name="Otto")["id"]
        accounts.say(SUSPENDED)
        items = [for_gateway("msg_2", bot_id), for_gateway("msg_2", other, actor=1)]

        actors = [OWNER.to_json(), OTHER.to_json()]
        answers = quota.ask("admit_messages", actor=GATEWAY, items=items, actors=actors)

        assert codes(answers) == ["org_suspended", "admitted"]

    def test_are_refused_to_another_service_too(self, quota: Quota, accounts: Erasure, bot_id: str) -> None:
        accounts.say(SUSPENDED)

        answers = quota.ask("admit_messages", actor=RUNTIME, items=[{"message_id": "msg_2", "bot_id": bot_id}])

        assert codes(answers) == ["org_suspended"]

    def test_of_no_bot_of_the_org_are_refused_for_that(self, quota: Quota, accounts: Erasure, bot_id: str) -> None:
        accounts.say(SUSPENDED)

        assert codes(quota.send("bot_nobodys", "msg_2")) == ["unknown_bot"]
        items = [for_gateway("msg_2", "bot_nobodys"), for_gateway("msg_3", bot_id)]
        answers = quota.ask("admit_messages", actor=GATEWAY, items=items, actors=[OWNER.to_json()])
        assert codes(answers) == ["unknown_bot", "org_suspended"]

    def test_of_an_org_that_quota_hears_of_later_are_refused(
        self, quota: Quota, accounts: Erasure, bot_id: str
    ) -> None:
        accounts.say(OrgSuspended(org_id="org_2", cause="abuse", reason_version=1))
        quota.subscribe(org_id="org_2")

        with pytest.raises(errors.Forbidden, match="org_suspended"):
            quota.tell("create_bot", actor=OTHER, name="Otto")


class TestBots:
    def test_are_as_they_were_and_cannot_be_changed(self, quota: Quota, accounts: Erasure, bot_id: str) -> None:
        before = quota.ask("list_bots")
        accounts.say(SUSPENDED)

        for door, arguments in {
            "create_bot": {"name": "Luigi"},
            "rename_bot": {"bot_id": bot_id, "name": "Luigi"},
            "pause_bot": {"bot_id": bot_id},
            "resume_bot": {"bot_id": bot_id},
            "delete_bot": {"bot_id": bot_id},
        }.items():
            with pytest.raises(errors.Forbidden, match="org_suspended"):
                quota.tell(door, **arguments)

        assert quota.ask("list_bots") == before


class TestHearing:
    @pytest.mark.parametrize("facts", [[SUSPENDED] * 2, [RESTORED, SUSPENDED], [SUSPENDED, RESTORED, SUSPENDED]])
    def test_ends_as_the_last_fact_says(self, quota: Quota, accounts: Erasure, bot_id: str, facts: list[Any]) -> None:
        accounts.say(*facts)
        assert codes(quota.send(bot_id, "msg_2")) == ["org_suspended"]

        accounts.say(RESTORED, RESTORED)
        assert codes(quota.send(bot_id, "msg_2")) == ["admitted"]

    def test_of_an_erasure_forgets_it_and_nothing_comes_after(
        self, quota: Quota, accounts: Erasure, bot_id: str
    ) -> None:
        accounts.say(SUSPENDED, OrgErased(org_id="org_1"))
        assert suspended(quota) == []

        accounts.say(SUSPENDED)

        assert suspended(quota) == []
        with quota.database.begin() as session:
            assert personal.is_erased(session, "org_1")


def suspended(quota: Quota) -> list[str]:
    with quota.database.begin() as session:
        return [row.org_id for row in session.scalars(select(tables.Suspended))]
