"""`chatness quota check`: every row beside the events that it follows from, and one org's row mended."""

import pytest

from ops import exits
from tests.databases import everything_in
from tests.ops.months import Months, asked, documents, granted


@pytest.fixture
def lively(months: Months) -> Months:
    """Two months with a standstill, refunds, a reset, one that was carried over; and another org beside it."""
    months.quota.subscribe(org_id="org_2")
    months.send(*(f"msg_{number}" for number in range(10)))
    months.refund("msg_3")
    months.quota.subscribe(version=2, action="upgraded", plan="starter", message_limit=100)
    months.send("msg_10", "msg_11")
    months.refund("msg_4")
    months.turn_to(2026, 12, 1)
    months.send("msg_12")
    months.quota.subscribe(version=3, action="downgraded", plan="free", message_limit=10)
    months.send("msg_13", "msg_14")
    return months


def differences(*words):
    *found, end = documents(asked("check", "--json", *words))
    assert end["differences"] == len(found)
    return [(one["table"], one["key"], one["column"], one["stored"], one["from_events"]) for one in found]


class TestCheck:
    def test_is_content_with_what_the_doors_wrote(self, lively):
        before = everything_in(lively.quota.database)

        done = asked("check")

        assert (done.exit_code, done.stdout) == (exits.OK, "2 orgs, 3 months, 30 events: all as the events say\n")
        assert everything_in(lively.quota.database) == before

    def test_names_each_row_and_column_that_is_not_as_the_events_say(self, lively):
        strange = (
            "INSERT INTO messages SELECT org_id, '{}', bot_id, '{}', generation, used, message_limit, recorded_at"
            " FROM messages WHERE message_id = 'msg_1'"
        )
        lively.spoil(
            "UPDATE orgs SET used = 7, stopped = true, max_resets = 9, ledger_version = 8 WHERE org_id = 'org_1'",
            "DELETE FROM messages WHERE message_id = 'msg_5'",
            "UPDATE messages SET used = 3, bot_id = 'bot_x' WHERE message_id = 'msg_6'",
            "UPDATE messages SET refunded_at = NULL WHERE message_id = 'msg_4'",
            "UPDATE messages SET refunded_at = recorded_at WHERE message_id = 'msg_7'",
            strange.format("msg_more", "2026-11"),
            strange.format("msg_old", "2026-01"),
            "UPDATE streams SET version = 99 WHERE stream = 'ledger-org_1-2026-11'",
        )

        assert set(differences()) == {
            ("orgs", "org_1", "used", 7, 3),
            ("orgs", "org_1", "stopped", True, False),
            ("orgs", "org_1", "max_resets", 9, 2),
            ("orgs", "org_1", "ledger_version", 8, 5),
            ("messages", "msg_5", "", "no row", "a row"),
            ("messages", "msg_6", "used", 3, 7),
            ("messages", "msg_6", "bot_id", "bot_x", lively.bot_id),
            ("messages", "msg_4", "refunded_at", None, "2026-11-22T12:00:00Z"),
            ("messages", "msg_7", "refunded_at", "a moment", None),
            ("messages", "msg_more", "", "a row", "none"),
            ("messages", "msg_old", "", "a row of 2026-01", "no such month"),
            ("streams", "ledger-org_1-2026-11", "version", 99, 18),
        }
        assert asked("check").exit_code == exits.FAILED
        assert asked("check", "--org", "org_2").exit_code == exits.OK

    def test_names_messages_that_were_taken_from_another_credit_than_is_stored(self, months):
        credit_id = granted("3")
        months.send(*(f"msg_{number}" for number in range(12)))
        assert asked("check").exit_code == exits.OK

        months.spoil(
            "UPDATE messages SET credit_id = '' WHERE message_id = 'msg_10'",
            "UPDATE messages SET credits_remaining = 3 WHERE message_id = 'msg_11'",
        )

        assert differences() == [
            ("messages", "msg_10", "credit_id", "", credit_id),
            ("messages", "msg_11", "credits_remaining", 3, 1),
        ]

    def test_names_an_org_without_a_row_and_an_event_that_was_changed(self, lively):
        changed = "UPDATE events SET data = replace(convert_from(data, 'UTF8'), 'msg_10', 'msg_ten')::bytea"
        lively.spoil("DELETE FROM orgs WHERE org_id = 'org_2'", f"{changed} WHERE name = 'quota.MessageRecorded'")

        found = [one[:3] for one in differences()]

        assert ("orgs", "org_2", "") in found
        assert ("events", "ledger-org_1-2026-11@16", "hash") in found
        assert [one for one in found if one[0] == "messages"] == [
            ("messages", "msg_ten", ""),
            ("messages", "msg_10", ""),
        ]

    def test_knows_no_org_that_quota_never_heard_of(self, lively):
        done = asked("check", "--org", "org_9")
        by_mail = asked("check", "--org", "ada@example.com")

        assert (done.exit_code, done.stderr) == (exits.NOT_FOUND, "chatness: quota has never heard of org_9\n")
        assert by_mail.stderr.endswith("heard of ada@example.com: an org's id begins with org_\n")

    def test_counts_one_as_one(self, months):
        assert asked("check").stdout == "1 org, 1 month, 2 events: all as the events say\n"


class TestRepair:
    def test_says_what_it_would_do_and_then_does_and_notes_it(self, lively):
        lively.spoil("UPDATE orgs SET used = 7, stopped = true WHERE org_id = 'org_1'")
        before = everything_in(lively.quota.database)

        would = asked("check", "--repair")
        assert (would.exit_code, would.stderr.splitlines()[-1]) == (exits.FAILED, exits.NO_CHANGE)
        assert everything_in(lively.quota.database) == before
        done = asked("check", "--repair", "--execute", "--reason", "ticket 4711", "--by", "Kim")

        assert done.exit_code == exits.OK
        assert asked("check").exit_code == exits.OK
        assert lively.quota.ask("get_usage")["used"] == 3
        assert lively.rows("SELECT relation, key, stored, folded, actor, reason FROM repairs") == [
            (
                *("orgs", "org_1", {"used": 7, "stopped": True}, {"used": 3, "stopped": False}),
                *("Kim", "ticket 4711"),
            )
        ]

    def test_trusts_no_events_that_were_changed(self, lively):
        lively.spoil(
            "UPDATE orgs SET used = 7 WHERE org_id = 'org_1'",
            "UPDATE events SET data = data || ' ' WHERE stream = 'ledger-org_1-2026-12' AND version = 2",
        )

        done = asked("check", "--repair", "--execute", "--reason", "ticket 4711")

        assert done.exit_code == exits.FAILED
        assert "org_1: not mended: ledger-org_1-2026-12@2 is not what was recorded" in done.stderr
        assert lively.rows("SELECT used FROM orgs WHERE org_id = 'org_1'") == [(7,)]
