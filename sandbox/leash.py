"""
Become another program that the kernel ends when the process that asked for it dies. Run as a file:

    python leash.py PARENT SIGNAL USER GROUP PROGRAM ARGUMENT...

Between fork and exec of a process with threads no Python may run, so this needs a program of its own.
Standard library only: it runs without the virtual environment, and as root just before root is given up.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(words: list[str]) -> None:
    parent, signal, user, group = map(int, words[:4])
    command = words[4:]
    if user != os.geteuid():
        os.setgroups([group])
        os.setgid(group)
        os.setuid(user)
    if sys.platform == "linux":
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
        if os.getppid() != parent:  # the parent died before the kernel knew
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - to start what we are told is what we are for
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
