"""
Passwords hashed with argon2id at the library's defaults: the only place that uses argon2-cffi.

One hash takes 64 MiB and about 0.1 s of a core, so only a few run at once, and beside the
green threads where there are any.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import argon2
from argon2 import exceptions
from eventlet import patcher, tpool

from services.accounts import inputs
from shared import errors

AT_ONCE = 4
WAITING = 16

T = TypeVar("T")


class Gate:
    """Lets a few in, lets some more wait, and turns the rest away."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._room = threading.Semaphore(at_once)
        self._places = threading.Semaphore(at_once + waiting)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """:raises Unavailable: `busy` when too many wait already"""
        if not self._places.acquire(blocking=False):
            raise errors.Unavailable("busy", "Too many people sign in at this moment; try again.")
        try:
            with self._room:
                yield
        finally:
            self._places.release()


_hasher = argon2.PasswordHasher()
_gate = Gate(at_once=AT_ONCE, waiting=WAITING)

NOBODYS = _hasher.hash(secrets.token_urlsafe())
"""A hash that no password fits, checked where there is no account, so that this takes as long."""


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
    with _gate.enter():
        if patcher.is_monkey_patched("thread"):
            done: T = tpool.execute(work, *arguments)
            return done
        return work(*arguments)
