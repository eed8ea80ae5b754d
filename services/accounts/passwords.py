"""
Passwords hashed with argon2id at the library's defaults: the only place that uses argon2-cffi.

One hash takes 64 MiB and about 0.1 s of a core, so one runs at a time, and beside the green threads where there are
any.
"""

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import argon2
from argon2 import exceptions
from eventlet import patcher, tpool

from services.accounts import inputs
from shared import context, errors

AT_ONCE = 1  # it has four threads by itself: two at once would both come later
WAITING = 19
NICE = 2  # of one thread, within its container
LONGEST_WAIT_SECONDS = 10.0  # of a caller who says nothing of a deadline
LONGEST_EXPECTED_SECONDS = 0.8  # what was slow once is tried again by whoever has so much time left

T = TypeVar("T")


class Gate:
    """
    Lets a few in, lets some more wait, and turns the rest away: also whoever would be done too late, going by the
    last who were in. On a machine that is too slow for all, the time then goes to those who still wait for an answer.
    """

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._room = threading.Semaphore(at_once)
        self._places = threading.Semaphore(at_once + waiting)
        self._expected_seconds = 0.0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """:raises Unavailable: `busy` when too many wait already, or when the caller stops waiting"""
        with self.place(), self.room():
            yield

    @contextmanager
    def place(self) -> Iterator[None]:
        """Be one of those who wait or are in. :raises Unavailable: `busy` at once when there are enough"""
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def room(self) -> Iterator[None]:
        """:raises Unavailable: `busy` when the caller would stop waiting before the work is done"""
        patience = _seconds_left() - self._expected_seconds
        if patience <= 0 or not self._room.acquire(timeout=patience):
            raise _busy()
        began = time.monotonic()
        try:
            yield
        finally:
            self._expected_seconds = min(LONGEST_EXPECTED_SECONDS, time.monotonic() - began)
            self._room.release()


def _seconds_left() -> float:
    deadline = context.current().deadline
    return LONGEST_WAIT_SECONDS if deadline is None else min(LONGEST_WAIT_SECONDS, deadline - time.time())


def _busy() -> errors.Unavailable:
    return errors.Unavailable("busy", "Too many people sign in at this moment; try again.")


_hasher = argon2.PasswordHasher()
_has_place: ContextVar[bool] = ContextVar("chatness_password_place", default=False)
_gate = Gate(at_once=AT_ONCE, waiting=WAITING)

NOBODYS = _hasher.hash(secrets.token_urlsafe())
"""A hash that no password fits, checked where there is no account, so that this takes as long."""


@contextmanager
def place() -> Iterator[None]:
    """
    For doors: whoever cannot be served is told so before the database is asked anything for them, or a crowd would
    keep it from those who can be.

    :raises Unavailable: `busy`
    """
    with _gate.place():
        token = _has_place.set(True)
        try:
            yield
        finally:
            _has_place.reset(token)


def hash(password: str) -> str:
    """:raises Unavailable: `busy`"""
    return _aside(_hasher.hash, inputs.normal_password(password))


def verify(password_hash: str, password: str) -> bool:
    """:raises Unavailable: `busy`"""
    try:
        return _aside(_hasher.verify, password_hash, inputs.normal_password(password))
    except exceptions.VerifyMismatchError:
        return False


def is_outdated(password_hash: str) -> bool:
    """Whether the library's defaults have become stronger since."""
    return _hasher.check_needs_rehash(password_hash)


def _aside(work: Callable[..., T], *arguments: Any) -> T:
    with _gate.room() if _has_place.get() else _gate.enter():
        if patcher.is_monkey_patched("thread"):
            done: T = tpool.execute(_yielding, work, *arguments)
            return done
        return work(*arguments)


def _yielding(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread, and those that argon2 makes of it, that give way to the one that answers everybody else."""
    if sys.platform == "linux":  # elsewhere only a whole process has a priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    return work(*arguments)
