"""`chatness quota explain` on months that quota's own doors made."""

import pytest
from sqlalchemy import text

from ops import exits
from tests.ops.months import Months, asked, documents, granted


@pytest.fixture
def november(months: Months) -> Months:
    """A standstill, a refund, a reset, then two actions more than the month has resets for."""
    months.send(*(f"msg_{number}" for number in range(10)))
    months.refund("msg_3")
    months.turn_to(2026, 11, 23)
    months.send("msg_10")
    months.quota.subscribe(version=2, action="upgraded", plan="starter", message_limit=100)
    months.quota.subscribe(version=3, action="renewed", plan="starter", message_limit=100)
    months.quota.subscribe(version=4, action="downgraded", message_limit=20, max_resets_per_month=1)
    months.send("msg_11", "msg_12")
    return months


class TestExplain:
    def test_tells_the_month_from_its_events(self, november):
        bot = november.bot_id

        done = asked("explain", "org_1")

        assert done.exit_code == exits.OK
        assert done.stdout.splitlines() == [
            "org_1, 2026-11:",
            "2026-11-22 12:00:00  the month opens on the plan none: 0 messages, 0 resets  [used 0 of 0]",
            "2026-11-22 12:00:00  limit 0 to 10, plan free: subscription started (version 1); the first subscription"
            " has nothing to reset  [used 0 of 10]",
            f"2026-11-22 12:00:00  10 messages: {bot} 10  [used 10 of 10]",
            "2026-11-22 12:00:00  the owner is told that 80 % are used: 8 of 10  [used 10 of 10]",
            "2026-11-22 12:00:00  the owner is told that 100 % are used: 10 of 10  [used 10 of 10]",
            "2026-11-22 12:00:00  all bots stop: no message is left  [used 10 of 10]",
            f"2026-11-22 12:00:00  message msg_3 of {bot} is refunded and counts no more  [used 9 of 10]",
            "2026-11-22 12:00:00  the bots run again: a refund gave a message back  [used 9 of 10]",
            f"2026-11-23 00:00:00  1 message: {bot} 1  [used 10 of 10]",
            "2026-11-23 00:00:00  all bots stop: no message is left  [used 10 of 10]",
            "2026-11-23 00:00:00  limit 10 to 100, plan free to starter: subscription upgraded (version 2); usage is"
            " reset  [used 10 of 100]",
            "2026-11-23 00:00:00  the count begins anew, because the subscription was upgraded: 10 used before;"
            " reset 1 of 2  [used 0 of 100]",
            "2026-11-23 00:00:00  the bots run again: the subscription gives messages again  [used 0 of 100]",
            "2026-11-23 00:00:00  limit 100, plan starter: subscription renewed (version 3); usage stays: a change of"
            " this kind never resets it  [used 0 of 100]",
            "2026-11-23 00:00:00  limit 100 to 20, plan starter to free: subscription downgraded (version 4); usage"
            " is carried over: the month has no reset left  [used 0 of 20]",
            f"2026-11-23 00:00:00  2 messages: {bot} 2  [used 2 of 20]",
            "used 2, limit 20, remaining 18",
            "stored: the same",
        ]

    def test_says_what_is_stored_otherwise(self, november):
        november.spoil("UPDATE orgs SET used = 7 WHERE org_id = 'org_1'")

        done = asked("explain", "org_1", "--json")
        end = documents(done)[-1]

        assert (done.exit_code, end["agrees"]) == (exits.FAILED, False)
        assert end["differs"] == {"used": {"stored": 7, "from_events": 2}}
        assert asked("explain", "org_1").stdout.splitlines()[-1] == "stored: used 7, and from the events 2"

    def test_tells_a_month_that_is_over_and_why_the_next_began_as_it_did(self, november):
        november.send(*(f"msg_{number}" for number in range(13, 31)))
        november.turn_to(2026, 12, 1)
        november.send("msg_31")

        over = asked("explain", "org_1", "--period", "2026-11").stdout.splitlines()
        begun = [line["text"] for line in documents(asked("explain", "org_1", "--json"))[:-1]]

        assert over[-2:] == [
            "used 20, limit 20, remaining 0",
            "the month is over: only its events are stored, and how they end",
        ]
        assert begun == [
            "the month opens on the plan free: 20 messages, 1 resets",
            f"1 message: {november.bot_id} 1",
            "the bots run again: a new month",
        ]

    def test_says_of_a_month_that_is_open_still_why_it_is(self, november):
        november.turn_to(2027, 2, 1)

        assert asked("explain", "org_1").stdout.splitlines()[-2:] == [
            "stored: the same",
            "it is open still, because nobody has sent or looked since: the next to do so opens 2027-02",
        ]

    def test_tells_credits_from_their_grant_to_their_end(self, months):
        credit_id = granted("3")
        months.send(*(f"msg_{number}" for number in range(12)))
        months.refund("msg_11")
        months.turn_to(2026, 12, 1)
        months.send("msg_12")
        months.turn_to(2026, 12, 6)
        months.send("msg_13")

        november, december = (
            asked("explain", "org_1", "--period", period).stdout.splitlines() for period in ("2026-11", "2026-12")
        )

        assert (
            f"2026-11-22 12:00:00  12 messages: {months.bot_id} 12; 2 of credits  [used 10 of 10, 1 of credits left]"
            in november
        )
        assert (
            f"2026-11-22 12:00:00  {credit_id} has the message msg_11 back  [used 10 of 10, 2 of credits left]"
            in november
        )
        assert f"  {credit_id} comes with it: 2 of 3 until 2026-12-06T00:00:00Z" in december[2]
        assert any(f"{credit_id} expires with 2 unused" in line for line in december)
        assert asked("check").exit_code == exits.OK

    def test_says_that_bots_stop_when_the_credits_that_they_ran_on_expire(self, months):
        granted("3", expires="2026-11-25")
        months.send(*(f"msg_{number}" for number in range(11)))
        months.turn_to(2026, 11, 26)
        months.quota.ask("get_usage")

        told = asked("explain", "org_1").stdout.splitlines()

        assert (
            "2026-11-26 00:00:00  all bots stop: the credits that they ran on have expired  [used 10 of 10]" in told
        )

    def test_spells_out_a_fact_that_it_has_no_sentence_for(self, november):
        insert = "INSERT INTO events SELECT 'quota-org_1', 99, 'evt_x', name, schema, data, meta, recorded_at, hash"
        november.spoil(f"{insert} FROM events WHERE name = 'quota.BotCreated'")

        words = [line["text"] for line in documents(asked("explain", "org_1", "--json"))[:-1]]

        assert f"bot created: org_id org_1, bot_id {november.bot_id}, name_version 1" in words

    def test_says_what_is_not_there(self, months):
        for words, code, said in (
            (("org_9",), exits.NOT_FOUND, "quota has never heard of org_9"),
            (("org_1", "--period", "2026-10"), exits.NOT_FOUND, "org_1 has no month 2026-10; it has 2026-11\n"),
            (("org_1", "--period", "2026-12"), exits.NOT_FOUND, "it has 2026-11; a month opens with its first"),
            (("org_1", "--period", "2026-13"), exits.USAGE, "'2026-13' is no month as 2026-11"),
        ):
            done = asked("explain", *words)

            assert (done.exit_code, done.stdout) == (code, "")
            assert said in done.stderr

    def test_says_that_an_org_was_erased(self, november):
        with november.quota.database.begin() as session:
            session.execute(text("SELECT erase_stream('ledger-org_1-2026-11')"))

        done = asked("explain", "org_1")

        assert (done.exit_code, done.stdout) == (exits.NOT_FOUND, "")
        assert "org_1 was erased" in done.stderr


class TestMessage:
    def test_tells_whether_it_was_counted_as_which_and_whether_refunded(self, november):
        done = asked("explain", "org_1", "--message", "msg_3")
        (other,) = documents(asked("explain", "org_1", "--message", "msg_12", "--json"))
        never = asked("explain", "org_1", "--message", "msg_99")

        counted = f"msg_3 was counted at 2026-11-22T12:00:00Z for {november.bot_id}"
        assert (done.exit_code, done.stdout.splitlines()) == (
            exits.OK,
            [
                f"{counted}: message 4 of 2026-11, used 4 of 10",
                "refunded at 2026-11-22T12:00:00Z, and counts no more",
                "stored: the same",
            ],
        )
        assert (other["number"], other["used"], other["agrees"]) == (13, 2, True)
        assert (never.exit_code, never.stdout) == (exits.NOT_FOUND, "")
        assert "msg_99 was not counted" in never.stderr

    def test_says_which_credit_it_was_taken_from_and_given_back_to(self, months):
        credit_id = granted("3")
        months.send(*(f"msg_{number}" for number in range(11)))
        months.refund("msg_10")

        done = asked("explain", "org_1", "--message", "msg_10")

        counted = f"msg_10 was counted at 2026-11-22T12:00:00Z for {months.bot_id}"
        assert (done.exit_code, done.stdout.splitlines()) == (
            exits.OK,
            [
                f"{counted}: message 11 of 2026-11, used 10 of 10, taken from {credit_id}",
                "refunded at 2026-11-22T12:00:00Z, and given back to that credit, unless it had expired",
                "stored: the same",
            ],
        )
