"""`chatness clock`: what the sandbox's processes take for the time."""

from datetime import UTC, datetime
from pathlib import Path

import click

from ops import settings, stack
from shared import clock, config


def show() -> int:
    click.echo(clock.rfc3339(_clock().now()))
    return 0


def advance(to: str, freeze: bool) -> int:
    """:raises BadConfiguration: for a moment that cannot be read, or outside the sandbox"""
    try:
        moment = clock.parse(to)
    except ValueError as error:
        raise config.BadConfiguration(f"--to is no moment: {error}") from None
    test_clock = _clock()
    if freeze:
        test_clock.set(frozen_at=moment)
    else:
        test_clock.set(offset_seconds=(moment - datetime.now(UTC)).total_seconds())
    click.echo(clock.rfc3339(test_clock.now()))
    return 0


def reset() -> int:
    _clock().set()
    return show()


def _clock() -> clock.Clock:
    environment = stack.saved_environment(stack.run_directory())
    common = config.load(settings.Settings, environment)
    if not common.sandbox or common.clock_file is None:
        raise config.BadConfiguration("there is no test clock outside the sandbox")
    return clock.Clock(Path(common.clock_file))
