# ruff: noqa: E402 - green threads first, everything else after
"""
A process of green threads in which many people sign in at once, because eventlet patches all of a process.

Prints one line of JSON: what became of each, how often another green thread had its turn meanwhile, and how nice the
threads of the process are at the end.
"""

from shared import serve

serve.green()

import json
import os

import eventlet

from services.accounts import passwords
from shared import errors

PEOPLE = 30

passwords.LONGEST_WAIT_SECONDS = 120.0  # however busy the machine is: it is the places that are counted here


def sign_in(password_hash: str) -> str:
    try:
        return "let in" if passwords.verify(password_hash, "seven grey herons fly") else "wrong"
    except errors.Unavailable as refused:
        return refused.code


def main() -> None:
    password_hash = passwords.hash("seven grey herons fly")
    turns: list[None] = []

    def take_turns() -> None:
        while True:
            turns.append(None)
            eventlet.sleep(0.001)

    other = eventlet.spawn(take_turns)
    people = [eventlet.spawn(sign_in, password_hash) for _ in range(PEOPLE)]
    outcomes = [person.wait() for person in people]
    other.kill()
    nice = [os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")]
    main_nice = os.getpriority(os.PRIO_PROCESS, os.getpid())
    print(json.dumps({"outcomes": outcomes, "turns": len(turns), "nice": nice, "main_nice": main_nice}))  # noqa: T201


if __name__ == "__main__":
    main()
