"""What the owner sees of bots, credits and the month; nothing of messages; and what writing it costs these."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from services.quota import grants, projections
from shared import context
from tests.activity import is_made_again, pages, who_may
from tests.quota.conftest import OWNER, Quota
from tests.quota.erasures import Erasure, erasure

__all__ = ["erasure"]

SECRET = context.Actor(kind="secret", id="sec_1", org_id="org_1", scopes=("bots:write",))


def seen(quota: Quota, actor: context.Actor = OWNER) -> list[tuple[Any, ...]]:
    found = quota.ask("list_activity", actor=actor)
    return [
        (one["what"], one["actor"]["kind"], one["actor"]["id"], one["subject"] and one["subject"]["name"])
        for one in found
    ]


def grant(quota: Quota, messages: int) -> None:
    expires_at = datetime(2026, 11, 25, tzinfo=UTC)
    wanted = grants.Grant(org_id="org_1", messages=messages, expires_at=expires_at, reason="a promise of Monday")
    with context.use(actor=context.Actor(kind="operator", id="kim@night")), quota.database.begin() as session:
        grants.grant(session, wanted, again=False, execute=True)


def pass_a_minute(quota: Quota, minutes: list[int]) -> None:
    minutes[0] += 1
    quota.database.clock.set(frozen_at=datetime(2026, 11, 22, 12, minutes[0], tzinfo=UTC))


class TestListActivity:
    def test_tells_who_did_what_with_a_bot_by_session_and_by_secret(self, quota: Quota) -> None:
        minutes = [0]
        signed_in = replace(OWNER, session_id="ses_1")
        bot_id = quota.tell("create_bot", actor=signed_in, name="Ada")["id"]
        pass_a_minute(quota, minutes)
        quota.tell("pause_bot", actor=SECRET, bot_id=bot_id)
        pass_a_minute(quota, minutes)
        quota.tell("rename_bot", bot_id=bot_id, name="Grace")
        pass_a_minute(quota, minutes)
        quota.tell("delete_bot", bot_id=bot_id)

        assert seen(quota) == [
            ("bot_deleted", "person", "acc_1", "Grace"),
            ("bot_renamed", "person", "acc_1", "Grace"),
            ("bot_paused", "secret", "sec_1", "Grace"),
            ("bot_created", "person", "acc_1", "Grace"),
        ]
        [*_, paused, created] = quota.ask("list_activity")
        assert created["actor"]["session_id"] == "ses_1"
        assert paused["details"] == {"reason": "user"}

    def test_names_no_operator_and_no_reason_of_a_credit(self, quota: Quota) -> None:
        grant(quota, 5)

        [granted] = quota.ask("list_activity")

        assert granted["actor"] == {"kind": "operator", "id": "", "session_id": ""}
        assert (granted["subject"]["kind"], granted["subject"]["name"]) == ("credit", None)
        assert granted["details"] == {"messages": 5, "expires_at": "2026-11-25T00:00:00Z"}

    def test_shows_no_message_but_what_the_last_one_did(self, quota: Quota) -> None:
        bot_id = quota.tell("create_bot", name="Ada")["id"]
        quota.send(bot_id, *(f"msg_{number}" for number in range(7)))
        quota.tell("refund_message", message_id="msg_1")
        before = {what for what, *_ in seen(quota)}

        quota.send(bot_id, *(f"more_{number}" for number in range(4)))

        assert before == {"bot_created"}
        assert {what for what, *_ in seen(quota)} - before == {"usage_threshold_reached", "bots_stopped"}

    def test_tells_of_a_reset_and_of_bots_that_a_smaller_plan_has_no_room_for(self, quota: Quota) -> None:
        quota.subscribe(version=2, action="upgraded", bot_limit=2)
        bots = [quota.tell("create_bot", name=name)["id"] for name in ("Ada", "Grace")]
        quota.send(bots[0], "msg_1")
        quota.subscribe(version=3, action="downgraded", bot_limit=1)

        found = quota.ask("list_activity")

        resets = [one["details"]["used_before"] for one in found if one["what"] == "usage_reset"]
        [paused] = [one for one in found if one["what"] == "bot_paused"]
        assert sorted(resets) == [0, 1]
        assert (paused["subject"]["name"], paused["details"]) == ("Grace", {"reason": "plan"})

    def test_is_turned_page_by_page_though_all_happened_at_the_same_moment(self, quota: Quota) -> None:
        bot_id = quota.tell("create_bot", name="Ada")["id"]
        for _ in range(4):
            quota.tell("pause_bot", bot_id=bot_id)
            quota.tell("resume_bot", bot_id=bot_id)

        found = pages(quota.doors, OWNER, limit=4)

        assert (len(found), len({one["id"] for one in found})) == (9, 9)

    def test_is_for_the_owner_alone_and_shows_no_other_orgs(self, quota: Quota) -> None:
        quota.tell("create_bot", name="Ada")
        stranger = replace(OWNER, id="acc_2", org_id="org_2")

        assert who_may(quota.doors, "org_1") == {"owner"}
        assert seen(quota, stranger) == []

    def test_is_made_again_by_a_rebuild(self, quota: Quota) -> None:
        grant(quota, 5)
        bot_id = quota.tell("create_bot", name="Ada")["id"]
        quota.send(bot_id, *(f"msg_{number}" for number in range(15)))
        quota.subscribe(version=2, action="upgraded", bot_limit=2)
        quota.tell("delete_bot", bot_id=bot_id)
        quota.database.clock.set(frozen_at=datetime(2026, 12, 1, tzinfo=UTC))
        quota.ask("get_usage")

        assert is_made_again(quota.database, "quota", projections.READ_MODELS)

    def test_of_an_erased_org_is_gone_and_stays_so(self, quota: Quota, erasure: Erasure) -> None:
        quota.tell("create_bot", name="Ada")
        quota.subscribe(org_id="org_2")
        other = replace(OWNER, id="acc_2", org_id="org_2")
        quota.tell("create_bot", actor=other, name="Otto")

        erasure.run("org_1")

        assert is_made_again(quota.database, "quota", projections.READ_MODELS)
        assert {one["what"] for one in quota.ask("list_activity", actor=other)} == {"bot_created"}


def test_messages_touch_nothing_of_it(quota: Quota) -> None:
    """They are counted while somebody keeps the tables from everybody: that of the rows, and that of the erased."""
    bot_id = quota.tell("create_bot", name="Ada")["id"]

    with quota.database.begin() as session:
        session.execute(text("LOCK TABLE activity, erased IN ACCESS EXCLUSIVE MODE"))
        answers = quota.send(bot_id, "msg_1", "msg_2") + quota.send(bot_id, "msg_3")

    assert all("admitted" in answer for answer in answers)
