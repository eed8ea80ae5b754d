"""
The doctor's rules: from what was seen to what is to be said of it. No rule looks at anything by itself.

Each finding is one line: ok; a note, for what may explain something; ill, for what needs a person; away, where
nothing could be seen.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ops import exits, limits, sights
from ops.consumers import Consumer
from ops.looks import Away
from shared import figures

Level = Literal["ok", "note", "ill", "away"]
Seen = Mapping[str, sights.Sight | Away]


@dataclass(frozen=True)
class Finding:
    """
    :param subject: what it is about: a process, a service, a consumer
    :param next: the command to go on with, if it is ill
    """

    section: str
    subject: str
    level: Level
    text: str
    next: str = ""


def exit_code(found: Iterable[Finding]) -> int:
    """75 if something could not be looked at, else 1 if something is ill."""
    levels = {finding.level for finding in found}
    if "away" in levels:
        return exits.AWAY
    return exits.FAILED if "ill" in levels else exits.OK


def of_processes(seen: Seen) -> Iterator[Finding]:
    """Every process once, wherever it was seen; then the services that nobody works on."""
    known: dict[str, sights.Process] = {}
    for inside in _insides(seen).values():
        for process in inside.processes:
            if process.id not in known or process.silent_seconds < known[process.id].silent_seconds:
                known[process.id] = process
    for process in known.values():
        yield _of_process(process)
    yield from _of_unseen("processes", seen)
    for service, inside in _insides(seen).items():
        for kind, does in (("serve", "its doors are shut"), ("worker", "its events and jobs wait")):
            if not any(_works(process, kind) for process in inside.processes):
                yield Finding("processes", service, "ill", f"no live {kind}: {does}", _start(kind, service))


def _works(process: sights.Process, kind: str) -> bool:
    return process.role.split()[0] == kind and process.silent_seconds <= limits.SILENT_SECONDS


def _of_process(process: sights.Process) -> Finding:
    subject = f"{process.role} ({process.host} {process.pid})"
    if process.silent_seconds > limits.SILENT_SECONDS:
        silent = f"silent for {process.silent_seconds:.0f} s (limit {limits.SILENT_SECONDS:.0f}): killed, or it hangs"
        return Finding("processes", subject, "note", silent)
    if process.away:
        return Finding("processes", subject, "ill", f"misses {', '.join(process.away)}")
    return Finding("processes", subject, "ok", f"up {_duration(process.up_seconds)}, release {process.release}")


def of_calls(answers: Mapping[str, float | Away]) -> Iterator[Finding]:
    """:param answers: by service and `gateway`, how many seconds an answer took"""
    for name, answer in answers.items():
        if isinstance(answer, Away):
            yield Finding("calls", name, "ill", f"does not answer: {answer.reason}")
        else:
            yield Finding("calls", name, "ok", f"answers in {answer * 1000:.0f} ms")


def of_databases(seen: Seen) -> Iterator[Finding]:
    for service, sight in seen.items():
        if isinstance(sight, Away):
            yield Finding("databases", service, "away", f"does not answer: {sight.reason}")
        else:
            yield Finding("databases", service, "ok", "answers")


def of_migrations(seen: Seen) -> Iterator[Finding]:
    for service, sight in _sights(seen).items():
        if sight.missing:
            missing = f"{', '.join(sight.missing)} missing; nothing inside was looked at"
            yield Finding("migrations", service, "ill", missing, f"chatness migrate {service}")
        elif sight.newer:
            yield Finding("migrations", service, "note", f"newer than this release: {', '.join(sight.newer)}")
        elif sight.outdated:
            outdated = "its read models were made by an older release's projections"
            yield Finding("migrations", service, "ill", outdated, f"chatness projections rebuild {service} --execute")
        else:
            yield Finding("migrations", service, "ok", "up to date")


def of_broker(takes: bool | Away) -> Finding:
    """:param takes: whether it takes and confirms messages"""
    if isinstance(takes, Away):
        return Finding("RabbitMQ", "RabbitMQ", "away", f"does not answer: {takes.reason}")
    if not takes:
        alarm = "takes no messages: an alarm for memory or disk"
        return Finding("RabbitMQ", "RabbitMQ", "ill", alarm, "rabbitmq-diagnostics alarms")
    return Finding("RabbitMQ", "RabbitMQ", "ok", "takes and confirms messages")


def of_logs(seen: Seen) -> Iterator[Finding]:
    for service, inside in _insides(seen).items():
        log = inside.log
        waiting = [
            f"{count} events not {done}, the oldest for {_limited(seconds, limits.OUTBOX_SECONDS)}"
            for count, seconds, done in (
                (log.unsequenced, log.unsequenced_seconds, "sequenced"),
                (log.unpublished, log.unpublished_seconds, "published"),
            )
            if count
        ]
        late = max(log.unsequenced_seconds, log.unpublished_seconds) > limits.OUTBOX_SECONDS
        text = "; ".join(waiting) or f"published up to {log.head}"
        yield Finding("logs", service, "ill" if late else "ok", text)


def of_consumer(consumer: Consumer) -> list[Finding]:
    found = [*_of_queues(consumer), *_of_lag(consumer)]
    if isinstance(consumer.applied, figures.Inbox) and consumer.applied.attempts > 1:
        tries = f"try {consumer.applied.attempts} of its event at {consumer.applied.attempting}"
        found.append(Finding("consumers", consumer.name, "note", tries))
    return found


def _of_queues(consumer: Consumer) -> Iterator[Finding]:
    queues = consumer.queues
    if isinstance(queues, Away):
        yield Finding("consumers", consumer.name, "away", f"its queue cannot be seen: {queues.reason}")
    elif queues.queue is None:
        undeclared = "it has no queue: no worker has declared it"
        yield Finding("consumers", consumer.name, "ill", undeclared, _start("worker", consumer.service))
    elif not queues.queue.consumers:
        unheard = f"nobody listens; {queues.queue.ready} messages wait"
        yield Finding("consumers", consumer.name, "ill", unheard, _start("worker", consumer.service))


def _of_lag(consumer: Consumer) -> Iterator[Finding]:
    lag = consumer.lag
    if isinstance(lag, Away):
        yield Finding("consumers", consumer.name, "away", f"its place cannot be compared: {lag.reason}")
    elif not lag.known:
        diverged = f"diverged: {consumer.producer}'s log never had what was applied; one of the two was restored"
        yield Finding("consumers", consumer.name, "ill", diverged)
    else:
        epoch = "" if lag.same_epoch else "; the log has begun a new epoch"
        text = f"{lag.events} events behind, {_limited(lag.seconds, limits.LAG_SECONDS)}{epoch}"
        late = lag.seconds > limits.LAG_SECONDS
        yield Finding(
            "consumers", consumer.name, "ill" if late else "ok", text if lag.events else f"up to date{epoch}"
        )


def of_parked(seen: Seen) -> Iterator[Finding]:
    found = False
    for service, inside in _insides(seen).items():
        for producer, parked in inside.parked.items():
            found = True
            waiting = f", {parked.unreadable} for a release that can read them" if parked.unreadable else ""
            text = f"{_counted(parked.events, 'event')} of {_counted(parked.streams, 'stream')}{waiting}"
            show = f"chatness parked list --service {service} --producer {producer}"
            yield Finding("parked", f"{service} from {producer}", "ill", text, show)
    yield from _of_unseen("parked", seen)
    if not found and len(_insides(seen)) == len(seen):
        yield Finding("parked", "parked", "ok", "nothing")


def of_dead_letters(consumers: Iterable[Consumer]) -> Iterator[Finding]:
    found = False
    for consumer in consumers:
        if isinstance(consumer.queues, Away):
            found = True
            yield Finding("dead letters", consumer.name, "away", "cannot be seen")
        elif consumer.queues.dead:
            found = True
            show = f"chatness deadletters list --service {consumer.service} --producer {consumer.producer}"
            yield Finding("dead letters", consumer.name, "ill", _counted(consumer.queues.dead, "message"), show)
    if not found:
        yield Finding("dead letters", "dead letters", "ok", "none")


def of_jobs(seen: Seen) -> Iterator[Finding]:
    for service, inside in _insides(seen).items():
        jobs = inside.jobs
        counts = f"{jobs.waiting} waiting, {jobs.running} running"
        if jobs.failed:
            show = f"chatness jobs list --service {service} --state failed"
            yield Finding("jobs", service, "ill", f"{jobs.failed} given up, {counts}", show)
        elif jobs.overdue_seconds > limits.OVERDUE_SECONDS:
            overdue = f"{counts}, the oldest due for {_limited(jobs.overdue_seconds, limits.OVERDUE_SECONDS)}"
            yield Finding("jobs", service, "ill", overdue, f"chatness jobs list --service {service}")
        else:
            yield Finding("jobs", service, "ok", counts)


def of_erasures(seen: Seen) -> Iterator[Finding]:
    for service, inside in _insides(seen).items():
        left = inside.erasures
        if left is None:
            continue
        outstanding = [
            f"{_counted(count, 'erasure')} {what}, the oldest for {_limited(seconds, limits.ERASURE_SECONDS)}"
            for count, seconds, what in (
                (left.due, left.due_seconds, "due and not begun"),
                (left.begun, left.begun_seconds, "begun and not ended"),
            )
            if count
        ]
        late = max(left.due_seconds, left.begun_seconds) > limits.ERASURE_SECONDS
        text = "; ".join(outstanding) or "nobody is being erased"
        yield Finding("erasures", service, "ill" if late else "ok", text, "chatness erasure list" if late else "")


def of_clocks(seen: Seen) -> Iterator[Finding]:
    """All against the databases' clocks, which decide about the month."""
    skews = {f"this machine, {service}'s database": sight.skew_seconds for service, sight in _sights(seen).items()}
    for service, inside in _insides(seen).items():
        for process in inside.processes:
            if process.silent_seconds <= limits.SILENT_SECONDS:
                skews[f"{process.role} ({process.host}), {service}'s database"] = process.skew_seconds
    apart = {pair: seconds for pair, seconds in skews.items() if abs(seconds) > limits.SKEW_SECONDS}
    for pair, seconds in apart.items():
        yield Finding(
            "clocks", pair, "ill", f"{_limited(abs(seconds), limits.SKEW_SECONDS)} apart", "chronyc tracking"
        )
    if skews and not apart:
        worst = max(abs(seconds) for seconds in skews.values())
        yield Finding("clocks", "clocks", "ok", f"{worst:.1f} s apart at most (limit {limits.SKEW_SECONDS:.0f})")


def _start(kind: str, service: str) -> str:
    return f"start one: chatness {kind} {service}"


def _of_unseen(section: str, seen: Seen) -> Iterator[Finding]:
    """Nobody shall read "nothing" where nobody could look."""
    for service in sorted(set(seen) - set(_insides(seen))):
        yield Finding(section, service, "away", "cannot be seen without its database")


def _sights(seen: Seen) -> dict[str, sights.Sight]:
    return {service: sight for service, sight in seen.items() if not isinstance(sight, Away)}


def _insides(seen: Seen) -> dict[str, sights.Inside]:
    return {service: sight.inside for service, sight in _sights(seen).items() if sight.inside is not None}


def _limited(seconds: float, limit: float) -> str:
    return f"{seconds:.0f} s (limit {limit:.0f})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
