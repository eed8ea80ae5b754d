"""
Side effects outside the database: a row in the transaction that wants them, done by the worker at least once.

The job's id is the idempotency key for whoever does it. A replay of events never makes a job.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, insert, null, select, tuple_, update
from sqlalchemy.orm import Session

from shared import database, errors, failpoints, ids, logs, metrics, store, tables, watchdog

LEASE = timedelta(minutes=2)
EFFECT_SECONDS = 110.0  # less than the lease: who holds on longer would do it beside the next
MAX_ATTEMPTS = 12
AT_REST = ("waiting", "failed")  # nobody holds it, and it is not over
log = logs.logger(__name__)

Do = Callable[[str, dict[str, Any]], None]
"""(job id, payload): does the effect, outside any transaction; raising means to try again later."""


@dataclass(frozen=True)
class Claimed:
    id: str
    kind: str
    payload: dict[str, Any]
    attempts: int


def add(session: Session, kind: str, payload: dict[str, Any], *, subject: str, due_at: datetime | None = None) -> str:
    """:param subject: the account or org that it is erased with"""
    store.refuse_effect(session, f"add a job {kind}")
    now = database.now(session)
    job_id = ids.new("job")
    session.execute(
        insert(tables.Job).values(
            id=job_id,
            kind=kind,
            subject=subject,
            state="waiting",
            payload=payload,
            due_at=due_at or now,
            created_at=now,
        )
    )
    store.notify(session, "jobs")
    return job_id


@dataclass(frozen=True)
class Wanted:
    """
    Work on one subject that looks at everything anew, so that one that waits is as good as many.

    :param name: what the subject is called in the job's payload, which is all that there is
    """

    kind: str
    subject: str
    name: str


def add_once(session: Session, wanted: Collection[Wanted]) -> None:
    """
    Add a job for each unless one of its kind waits for the subject already.

    The waiting one is held until this transaction ends, so that it cannot begin before it can see what we wrote.
    """
    by_key = {(one.kind, one.subject): one for one in wanted}
    of_them = tuple_(tables.Job.kind, tables.Job.subject).in_(sorted(by_key))
    waiting = select(tables.Job.kind, tables.Job.subject).where(of_them, tables.Job.state == "waiting")
    held = {(kind, subject) for kind, subject in session.execute(waiting.with_for_update(skip_locked=True))}
    for key in sorted(by_key.keys() - held):
        one = by_key[key]
        add(session, one.kind, {one.name: one.subject}, subject=one.subject)


def retry(session: Session, job_id: str) -> None:
    """
    Let a job that was given up, or that waits for its next try, begin anew and at once.

    :raises NotFound, Conflict: if there is none, or it is running, done or cancelled
    """
    job = _at_rest(session, job_id)
    job.state, job.attempts, job.due_at, job.last_error = "waiting", 0, database.now(session), ""
    store.notify(session, "jobs")


def cancel(session: Session, job_id: str, *, reason: str) -> None:
    """
    Nobody is to do it any more; its payload goes at once.

    :raises NotFound, Conflict: if there is none, or it is running, done or cancelled
    """
    job = _at_rest(session, job_id)
    job.state, job.payload, job.last_error = "cancelled", null(), reason


def _at_rest(session: Session, job_id: str) -> tables.Job:
    job = session.get(tables.Job, job_id, with_for_update=True)
    if job is None:
        raise errors.NotFound("no_such_job", f"There is no job {job_id}.")
    if job.state not in AT_REST:
        raise errors.Conflict(f"job_{job.state}", f"The job {job_id} is {job.state}.")
    return job


class Runner:
    """Does a service's due jobs, one after another; several runners share the work by skipping locked rows."""

    def __init__(self, home: database.Database, kinds: Mapping[str, Do]) -> None:
        self.database = home
        self.kinds = dict(kinds)

    def run_due(self, stopping: threading.Event) -> int:
        """Do all that is due now; gives how many were tried."""
        tried = 0
        while not stopping.is_set():
            job = self._claim()
            if job is None:
                break
            self._do(job)
            tried += 1
        return tried

    def _claim(self) -> Claimed | None:
        """A lease, committed before the work begins: a worker that dies leaves the job to be taken again."""
        with self.database.begin() as session:
            now = database.now(session)
            due = (
                select(tables.Job)
                .where(tables.Job.state.in_(("waiting", "running")), tables.Job.due_at <= now)
                .where(tables.Job.kind.in_(self.kinds))
                .order_by(tables.Job.due_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = session.scalar(due)
            if row is None:
                return None
            row.state, row.due_at, row.attempts = "running", now + LEASE, row.attempts + 1
            return Claimed(row.id, row.kind, row.payload or {}, row.attempts)

    def _do(self, job: Claimed) -> None:
        if job.attempts > MAX_ATTEMPTS:
            self._give_up(job, "the process ended while it did it")
            return
        started = time.monotonic()
        failpoints.reach("job.claimed")
        try:
            with watchdog.limit(EFFECT_SECONDS, f"job {job.kind} {job.id}"):
                self.kinds[job.kind](job.id, job.payload)
        except Exception as error:  # noqa: BLE001  # whatever it was, the job must not be lost
            metrics.child(metrics.JOB_FAILURES, job.kind).inc()
            self._put_back(job, error)
            return
        finally:
            metrics.child(metrics.JOB_SECONDS, job.kind).observe(time.monotonic() - started)
        failpoints.reach("job.effected")
        self._settle(tables.Job.id == job.id, state="done", payload=None, last_error="")
        log.info("job done", job=job.id, kind=job.kind, milliseconds=round((time.monotonic() - started) * 1000))

    def _put_back(self, job: Claimed, error: Exception) -> None:
        reason = type(error).__name__
        log.warning("job failed", job=job.id, kind=job.kind, attempts=job.attempts, error=reason)
        if job.attempts >= MAX_ATTEMPTS:
            self._give_up(job, reason)
            return
        wait = timedelta(seconds=min(2**job.attempts, 3600))
        due_at = self.database.clock.now() + wait
        self._settle(_is_still(job), state="waiting", last_error=reason, due_at=due_at)

    def _give_up(self, job: Claimed, reason: str) -> None:
        log.error("job given up", job=job.id, kind=job.kind, error=reason)
        self._settle(_is_still(job), state="failed", last_error=reason)

    def _settle(self, condition: ColumnElement[bool], **values: Any) -> None:
        with self.database.begin() as session:
            session.execute(update(tables.Job).where(condition).values(**values))


def _is_still(job: Claimed) -> ColumnElement[bool]:
    """Whether our lease is the last one: who was too slow must not undo what the next has done."""
    return (tables.Job.id == job.id) & (tables.Job.attempts == job.attempts) & (tables.Job.state == "running")
