"""What may happen to an org, its clock, its processes and its database while its programs send messages."""

import time
from datetime import timedelta

from shared import clock
from tests.stack.quota_programme import ANSWER_SECONDS, Happening, Programme


def nothing(_programme: Programme) -> None:
    pass


def a_quota_process_is_killed(programme: Programme) -> None:
    _kill(programme, programme.chance.choice(programme.quotas))


def all_quota_processes_are_killed(programme: Programme) -> None:
    _kill(programme, *programme.quotas)


def a_gateway_is_killed(programme: Programme) -> None:
    _kill(programme, programme.chance.choice(programme.gateways))


def quota_dies_after_a_commit_and_before_its_answer(programme: Programme) -> None:
    """One of its processes; the answers of all messages in that batch are lost."""
    process = programme.stack.processes[programme.quotas[-1]]
    process.kill()
    process.environment["CHATNESS_FAIL_AT"] = f"admission.committed:{programme.chance.randint(1, 3)}"
    process.start()
    del process.environment["CHATNESS_FAIL_AT"]
    deadline = time.monotonic() + ANSWER_SECONDS
    while process.lives:
        assert time.monotonic() < deadline, "it was never asked"
        programme.send(f"msg_{programme.round}_doomed_{time.monotonic_ns()}")
    process.start()


def the_database_stops_at_once(programme: Programme) -> None:
    programme.postgres.kill()
    programme.postgres.start()


def the_database_ends_all_sessions(programme: Programme) -> None:
    with programme.postgres.administer() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'chatness%'"
        )


def the_month_turns(programme: Programme) -> None:
    """In a moment, while messages are on their way."""
    now = programme.stack.clock.now()
    programme.move_clock(clock.next_month(now) - now - timedelta(seconds=programme.chance.uniform(0, 0.3)))


def the_window_of_refunds_closes(programme: Programme) -> None:
    programme.move_clock(timedelta(minutes=15))


def the_plan_changes(programme: Programme) -> None:
    """Up or down, now."""
    programme.change_plan(programme.chance.choice([*programme.plans]))


def the_plan_shrinks_at_the_periods_end(programme: Programme) -> None:
    plans = sorted(programme.plans, key=lambda plan: programme.plans[plan])
    smaller = plans[: plans.index(programme.subscription()["plan"])]
    if smaller:
        programme.change_plan(programme.chance.choice(smaller), at="period_end")


def operations_grant_a_credit(programme: Programme) -> None:
    programme.grant(programme.chance.randint(1, 20), programme.chance.choice([0, 1, 40, 70]))


def _kill(programme: Programme, *names: str) -> None:
    time.sleep(programme.chance.uniform(0, 0.3))  # somewhere in the work, wherever that is
    for name in names:
        programme.stack.processes[name].kill()
    for name in names:
        programme.stack.processes[name].start()


HAPPENINGS: dict[Happening, float] = {
    nothing: 1,
    a_quota_process_is_killed: 2,
    all_quota_processes_are_killed: 1,
    a_gateway_is_killed: 2,
    quota_dies_after_a_commit_and_before_its_answer: 2,
    the_database_stops_at_once: 1,
    the_database_ends_all_sessions: 2,
    the_month_turns: 1,
    the_window_of_refunds_closes: 2,
    the_plan_changes: 4,
    the_plan_shrinks_at_the_periods_end: 1,
    operations_grant_a_credit: 2,
}


def choose(programme: Programme, rounds: int) -> list[Happening]:
    return programme.chance.choices([*HAPPENINGS], weights=[*HAPPENINGS.values()], k=rounds)
