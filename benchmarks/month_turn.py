"""
What clients notice when the month turns for 100,000 orgs: the 99th percentile of admissions in the minute after
midnight against that of the minute before.

One whole stack on this machine, whose clock passes midnight by itself during one load without a break. Every org has
a month; a fifth of them have ended at their limit, so that the timer opens their new month and tells that their bots
run again. A thousand others send, in turn, 100 messages a second together: nearly every message of the first ten
seconds after midnight opens a month too. The other orgs' months open when somebody asks.

The load is open-loop (see `paced`), well below what the stack can do: a closed loop would send less just when the
answers are late. The gateway remembers each secret all the time, so that no look at secrets is measured. The months
are made inside PostgreSQL (see `ledgers`). MONTH_TURN_ORGS sets another number of orgs.
"""

import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import ledgers, load, orgs, paced, stack
from benchmarks.results import Result

NAME = "month_turn"

ORGS = int(os.environ.get("MONTH_TURN_ORGS", "100_000"))
AT_LIMIT = ORGS // 5
SENDERS = min(1000, ORGS // 5)
MESSAGES = 3  # that each org has sent in its month, but for those whose limit is one
PER_SECOND = 100.0
MOST_AWAY = 0.001  # of all answers
WARM_UP_SECONDS = 15.0
CONNECTIONS = 16
START_SECONDS = 5.0  # before the minute that is compared
MINUTE = 60.0
PATIENCE_SECONDS = 600.0


def run() -> list[Result]:
    from shared import clock

    with stack.running(CHATNESS_SECRET_CACHE_SECONDS="300") as standing:
        business_clock = clock.Clock(Path(standing.environment["CHATNESS_CLOCK_FILE"]))
        turn = clock.next_month(clock.machine_time())
        _show(business_clock, turn - timedelta(hours=6), at=clock.machine_time())
        requests = [org.message(standing.port) for org in _fill(standing)]
        load.run(requests, seconds=WARM_UP_SECONDS, connections=CONNECTIONS)
        midnight = clock.machine_time() + timedelta(seconds=MINUTE + START_SECONDS)
        _show(business_clock, turn, at=midnight)
        seconds = START_SECONDS + 2 * MINUTE
        answers = paced.run(requests, per_second=PER_SECOND, seconds=seconds)
        in_time = _restarted(standing)
        stack.until(lambda: _restarted(standing) == AT_LIMIT, seconds=PATIENCE_SECONDS)
        late_by = time.time() - midnight.timestamp()
        _check_opened(standing, f"{turn:%Y-%m}")
    _check_admitted(answers, midnight.timestamp())
    normal = _between(answers, midnight.timestamp() - MINUTE, midnight.timestamp())
    turning = _between(answers, midnight.timestamp(), midnight.timestamp() + MINUTE)
    return [
        Result(
            name=f"{NAME}_p99_ratio",
            value=round(_percentile(turning, 99) / _percentile(normal, 99), 2),
            unit="times as long",
            against="the minute before the month turns",
            detail={
                "orgs": ORGS,
                "ended_at_their_limit": AT_LIMIT,
                "seconds_of_503": _away(answers, midnight.timestamp()),
                "restarted_by_the_end_of_the_load": in_time,
                "all_restarted_within_seconds": round(late_by),
                "normal_p50_p99_max_ms": _summary(normal),
                "turning_p50_p99_max_ms": _summary(turning),
                "first_ten_seconds_p50_p99_max_ms": _summary(
                    _between(answers, midnight.timestamp(), midnight.timestamp() + 10)
                ),
            },
        )
    ]


def _show(business_clock: Any, moment: datetime, *, at: datetime) -> None:
    """Let the business clock show this moment when the machine's shows that one."""
    business_clock.set(offset_seconds=(moment - at).total_seconds())


def _fill(standing: stack.Standing) -> list[orgs.Org]:
    from services.quota import boundary
    from shared import ids

    everybody = sorted(ids.new("org") for _ in range(ORGS))
    at_limit = set(everybody[:: ORGS // AT_LIMIT])
    with orgs.houses(standing) as houses:
        home = houses["quota"].database
        period = boundary.period_of(home.clock.now())
        ledgers.fill(home, [_month(org_id, period, ended=org_id in at_limit) for org_id in everybody])
        stack.until(lambda: orgs.is_published(home), seconds=PATIENCE_SECONDS)
    others = [org_id for org_id in everybody if org_id not in at_limit]
    return orgs.equip(standing, others[:: len(others) // SENDERS][:SENDERS])


def _month(org_id: str, period: str, *, ended: bool) -> ledgers.Month:
    limit, messages = (1, 1) if ended else (orgs.MESSAGES, MESSAGES)
    return ledgers.Month(org_id=org_id, period=period, message_limit=limit, messages=messages)


def _restarted(standing: stack.Standing) -> int:
    """How many orgs' bots run again because of the month."""
    return int(_count(standing, "SELECT count(*) FROM events WHERE name = 'quota.BotsRestarted'"))


def _check_opened(standing: stack.Standing, period: str) -> None:
    """:raises RuntimeError: if others were opened than those who sent or had ended at their limit"""
    opened = _count(standing, f"SELECT count(*) FROM orgs WHERE period = '{period}'")
    if opened != SENDERS + AT_LIMIT:
        raise RuntimeError(f"{opened} months were opened, not {SENDERS + AT_LIMIT}")


def _check_admitted(answers: Sequence[paced.Answer], midnight: float) -> None:
    """
    A disk that stands still for a second, as those of shared machines do, costs the batch under way its answer: 503,
    to be asked again. A few of these count by their time like any other answer, and are shown.

    :raises RuntimeError: if there were more, as on a machine that cannot keep up, or an answer was another one
    """
    refused = [answer for answer in answers if answer.status != "201"]
    away = _away(answers, midnight)
    if len(refused) > len(away) or len(away) > len(answers) * MOST_AWAY:
        raise RuntimeError(f"of {len(answers)} answers {dict(Counter(answer.status for answer in refused))}: {away}")


def _away(answers: Sequence[paced.Answer], midnight: float) -> list[int]:
    """When answers were 503, in seconds after midnight."""
    return sorted(round(answer.due_at - midnight) for answer in answers if answer.status == "503")


def _count(standing: stack.Standing, sql: str) -> int:
    from sqlalchemy import text

    with orgs.houses(standing) as houses, houses["quota"].database.begin() as session:
        return int(session.scalars(text(sql)).one())


def _between(answers: Sequence[paced.Answer], start: float, end: float) -> list[float]:
    return [answer.milliseconds for answer in answers if start <= answer.due_at < end]


def _percentile(milliseconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(milliseconds, n=100)[percent - 1]


def _summary(milliseconds: Sequence[float]) -> tuple[float, float, float]:
    return (
        round(_percentile(milliseconds, 50), 1),
        round(_percentile(milliseconds, 99), 1),
        round(max(milliseconds), 1),
    )
