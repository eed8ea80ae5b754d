"""The doctor's rules, one by one: what is seen, and what is said of it."""

import dataclasses
from typing import Any

import pytest

from ops import exits, findings, rabbitmq, sights
from ops.consumers import Consumer, Queues
from ops.findings import Finding
from ops.looks import Away
from shared import figures
from tests.ops.test_operations_page import check

pytestmark = pytest.mark.pure

LOG = figures.Log(epoch="e", head=7, unsequenced=0, unsequenced_seconds=0, unpublished=0, unpublished_seconds=0)
JOBS = figures.Jobs(waiting=2, running=1, failed=0, overdue_seconds=0)
APPLIED = figures.Inbox(epoch="e", position=7, hash=b"h")


def process(role: str, **changes: Any) -> sights.Process:
    values = {"id": role, "role": role, "host": "vm", "pid": 7, "release": "1", "up_seconds": 7300.0}
    return sights.Process(**(values | {"silent_seconds": 4.0, "skew_seconds": 0.0, "away": []} | changes))


def sight(*processes: sights.Process, skew_seconds: float = 0.0, **inside: Any) -> sights.Sight:
    """One service's database in which all is well, but for the changes."""
    there = {"processes": list(processes), "log": LOG, "inboxes": {}, "parked": {}, "jobs": JOBS} | inside
    return sights.Sight(skew_seconds=skew_seconds, missing=[], newer=[], inside=sights.Inside(**there))


def consumer(**changes: Any) -> Consumer:
    lag = sights.Lag(events=0, seconds=0, known=True, same_epoch=True)
    queues = Queues(queue=rabbitmq.Queue("quota.from.billing", 0, 1), dead=0)
    values = {"service": "quota", "producer": "billing", "queues": queues, "applied": APPLIED, "lag": lag}
    return Consumer(**(values | {"parked": figures.Parked()} | changes))


def said(found: Any) -> list[tuple[str, str]]:
    """The level and the text of each that is not ok."""
    return [(finding.level, finding.text) for finding in found if finding.level != "ok"]


BOTH = (process("serve quota"), process("worker quota billing"))


class TestExitCode:
    @pytest.mark.parametrize(
        "levels, code",
        [
            (["ok", "note"], exits.OK),
            (["ok", "ill"], exits.FAILED),
            (["ill", "away", "ok"], exits.AWAY),
        ],
    )
    def test_is_that_of_the_worst(self, levels, code):
        assert findings.exit_code([Finding("s", "x", level, "") for level in levels]) == code


class TestOfProcesses:
    def test_finds_nothing_ill_where_both_work(self):
        assert said(findings.of_processes({"quota": sight(*BOTH)})) == []

    def test_shows_a_process_of_several_services_once(self):
        seen = {"quota": sight(*BOTH), "billing": sight(*BOTH, process("serve billing"))}

        assert len(list(findings.of_processes(seen))) == 3

    def test_misses_whom_nobody_has_started(self):
        assert said(findings.of_processes({"quota": sight(BOTH[0])})) == [
            ("ill", "no live worker: its events and jobs wait")
        ]

    def test_takes_a_silent_process_for_dead(self):
        silent = dataclasses.replace(BOTH[0], silent_seconds=48.0)

        assert said(findings.of_processes({"quota": sight(silent, BOTH[1])})) == [
            ("note", "silent for 48 s (limit 35): killed, or it hangs"),
            ("ill", "no live serve: its doors are shut"),
        ]

    def test_lets_another_of_the_role_take_its_place(self):
        silent = process("serve quota", id="old", silent_seconds=48.0)

        assert [level for level, _text in said(findings.of_processes({"quota": sight(silent, *BOTH)}))] == ["note"]

    def test_says_what_a_process_misses(self):
        lame = process("worker quota", away=["quota.from.billing"])

        assert ("ill", "misses quota.from.billing") in said(findings.of_processes({"quota": sight(BOTH[0], lame)}))

    def test_cannot_tell_without_the_database(self):
        assert said(findings.of_processes({"quota": Away("refused")})) == [
            ("away", "cannot be seen without its database")
        ]


class TestOfLogs:
    def test_names_the_limit_that_was_passed(self):
        late = dataclasses.replace(LOG, unpublished=5, unpublished_seconds=34.0)

        assert said(findings.of_logs({"quota": sight(log=late)})) == [
            ("ill", "5 events not published, the oldest for 34 s (limit 30)")
        ]

    def test_leaves_what_is_on_its_way(self):
        fresh = dataclasses.replace(LOG, unsequenced=5, unsequenced_seconds=2.0)

        assert said(findings.of_logs({"quota": sight(log=fresh)})) == []


class TestOfConsumer:
    def test_is_content_with_one_that_is_up_to_date(self):
        assert said(findings.of_consumer(consumer())) == []

    @pytest.mark.parametrize(
        "changes, level, text",
        [
            ({"queues": Queues(queue=None, dead=0)}, "ill", "it has no queue: no worker has declared it"),
            (
                {"queues": Queues(queue=rabbitmq.Queue("q", 3, 0), dead=0)},
                "ill",
                "nobody listens; 3 messages wait",
            ),
            ({"queues": Away("no answer")}, "away", "its queue cannot be seen: no answer"),
            (
                {"lag": sights.Lag(events=3, seconds=34, known=True, same_epoch=True)},
                "ill",
                "3 events behind, 34 s (limit 30)",
            ),
            (
                {"lag": sights.Lag(events=3, seconds=0, known=False, same_epoch=False)},
                "ill",
                "diverged: billing's log never had what was applied; one of the two was restored",
            ),
            (
                {"applied": dataclasses.replace(APPLIED, attempting=8, attempts=2)},
                "note",
                "try 2 of its event at 8",
            ),
        ],
    )
    def test_says_what_is_ill(self, changes, level, text):
        assert said(findings.of_consumer(consumer(**changes))) == [(level, text)]


class TestOfParked:
    def test_counts_and_says_how_to_go_on(self):
        parked = {"billing": figures.Parked(events=3, streams=1, unreadable=1)}

        (found,) = findings.of_parked({"quota": sight(parked=parked)})

        assert (found.level, found.text) == ("ill", "3 events of 1 stream, 1 for a release that can read them")
        assert found.next == "chatness parked list --service quota --producer billing"

    def test_does_not_say_nothing_where_it_could_not_look(self):
        seen = {"quota": Away("refused"), "billing": sight()}

        assert [finding.level for finding in findings.of_parked(seen)] == ["away"]
        assert [finding.level for finding in findings.of_parked({"billing": sight()})] == ["ok"]


class TestOfDeadLetters:
    def test_counts_them(self):
        queues = Queues(queue=rabbitmq.Queue("q", 0, 1), dead=1)

        assert said(findings.of_dead_letters([consumer(queues=queues), consumer()])) == [("ill", "1 message")]

    def test_does_not_say_none_where_it_could_not_look(self):
        assert [f.level for f in findings.of_dead_letters([consumer(queues=Away("x")), consumer()])] == ["away"]


class TestOfJobs:
    @pytest.mark.parametrize(
        "changes, text",
        [
            ({"failed": 1}, "1 given up, 2 waiting, 1 running"),
            ({"overdue_seconds": 130.0}, "2 waiting, 1 running, the oldest due for 130 s (limit 120)"),
        ],
    )
    def test_says_what_nobody_does(self, changes, text):
        jobs = dataclasses.replace(JOBS, **changes)

        assert said(findings.of_jobs({"accounts": sight(jobs=jobs)})) == [("ill", text)]


class TestOfErasures:
    def test_is_well_while_nobody_waits_for_long(self):
        begun = sights.Erasures(begun=2, begun_seconds=59.0, due=1, due_seconds=3.0)

        (nobody,) = findings.of_erasures({"accounts": sight(erasures=sights.Erasures()), "quota": sight()})
        (somebody,) = findings.of_erasures({"accounts": sight(erasures=begun)})

        assert (nobody.level, nobody.text) == ("ok", "nobody is being erased")
        assert somebody.level == "ok"

    @pytest.mark.parametrize(
        "late, text",
        [
            (
                {"begun": 2, "begun_seconds": 3700.0},
                "2 erasures begun and not ended, the oldest for 3700 s (limit 3600)",
            ),
            ({"due": 1, "due_seconds": 9000.0}, "1 erasure due and not begun, the oldest for 9000 s (limit 3600)"),
        ],
    )
    def test_is_ill_if_one_does_not_begin_or_not_end(self, late, text):
        (found,) = findings.of_erasures({"accounts": sight(erasures=sights.Erasures(**late))})

        assert (found.level, found.text, found.next) == ("ill", text, "chatness erasure list")


class TestOfClocks:
    def test_compares_this_machine_and_each_process_with_the_database(self):
        ahead = process("serve quota", skew_seconds=-3.0)

        found = said(findings.of_clocks({"quota": sight(ahead, BOTH[1], skew_seconds=2.5)}))

        assert found == [("ill", "2 s (limit 2) apart"), ("ill", "3 s (limit 2) apart")]

    def test_leaves_out_who_is_silent(self):
        assert (
            said(findings.of_clocks({"quota": sight(process("serve quota", skew_seconds=-9.0, silent_seconds=99))}))
            == []
        )


class TestOfMigrations:
    def test_tells_older_from_newer(self):
        older = sights.Sight(skew_seconds=0, missing=["kernel_0002"], newer=[], inside=None)
        newer = dataclasses.replace(sight(), newer=["quota_0009"])

        assert said(findings.of_migrations({"quota": older, "billing": newer})) == [
            ("ill", "kernel_0002 missing; nothing inside was looked at"),
            ("note", "newer than this release: quota_0009"),
        ]

    def test_finds_read_models_of_an_older_release_ill(self):
        found = findings.of_migrations({"quota": dataclasses.replace(sight(), outdated=True)})

        assert said(found) == [("ill", "its read models were made by an older release's projections")]


class TestOfBroker:
    def test_knows_an_alarm_from_a_broker_that_is_away(self):
        assert said([findings.of_broker(True)]) == []
        assert said([findings.of_broker(False)]) == [("ill", "takes no messages: an alarm for memory or disk")]
        assert said([findings.of_broker(Away("refused"))]) == [("away", "does not answer: refused")]


class TestNext:
    def test_is_a_command_that_exists(self):
        parked = {"billing": figures.Parked(events=1, streams=1)}
        jobs = dataclasses.replace(JOBS, failed=1)
        never_ending = sights.Erasures(begun=1, begun_seconds=9999)
        overdue = dataclasses.replace(JOBS, overdue_seconds=999)
        ill = {"quota": sight(parked=parked, jobs=jobs), "accounts": sight(jobs=overdue, erasures=never_ending)}
        older = {"billing": sights.Sight(skew_seconds=0, missing=["kernel_0002"], newer=[], inside=None)}
        older["secrets"] = dataclasses.replace(sight(), outdated=True)
        dead = consumer(queues=Queues(queue=None, dead=1))
        rules = (findings.of_processes, findings.of_parked, findings.of_jobs, findings.of_erasures)
        rules += (findings.of_migrations,)
        found = [finding for rule in rules for finding in rule(ill | older)]
        found += [*findings.of_dead_letters([dead]), *findings.of_consumer(dead)]

        commands = {
            f"chatness {finding.next.split('chatness ')[1]}" for finding in found if "chatness" in finding.next
        }

        assert len(commands) >= 10
        for command in commands:
            check(command)
