"""The exit codes of the command line, the same for every command, and the errors that stand for them."""

OK = 0
FAILED = 1  # it was looked at or tried, and something is wrong
USAGE = 2
NOT_FOUND = 3
CONFLICT = 5  # it is there, and in no state for this
AWAY = 75  # sysexits.h: a temporary failure; try again later
INTERRUPTED = 130


class Away(Exception):
    """A part that we need does not answer. One line for the operator."""


class NotThere(Exception):
    """Nothing of that name or id. One line for the operator."""


class Refused(Exception):
    """It is in no state for this. One line for the operator."""
