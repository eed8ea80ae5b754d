"""`chatness clock`: what the sandbox's processes take for the time."""

from datetime import UTC, datetime

import click

from ops import reach, settings
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
    told = config.load(settings.ClockSettings, reach.environment())
    if not told.sandbox or told.clock_file is None:
        raise config.BadConfiguration("there is no test clock outside the sandbox")
    return clock.Clock(told.clock_file)
