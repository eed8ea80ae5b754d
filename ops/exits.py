"""How a command ends: the exit codes, the same for every command, the errors that stand for them, the last line."""

OK = 0
FAILED = 1  # it was looked at or tried, and something is wrong
USAGE = 2
NOT_FOUND = 3
CONFLICT = 5  # it is there, and in no state for this
AWAY = 75  # sysexits.h: a temporary failure; try again later
INTERRUPTED = 130

NO_CHANGE = "nothing was changed: add --execute to do it"


class Away(Exception):
    """A part that we need does not answer. One line for the operator."""


class NotThere(Exception):
    """Nothing of that name or id. One line for the operator."""


class Refused(Exception):
    """It is in no state for this. One line for the operator."""
