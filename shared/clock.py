"""
The business clock: UTC, and in the sandbox a test clock that all processes share.

The test clock is a small JSON file, `{"offset_seconds": 0.0, "frozen_at": null}`: time runs on, moved by the
offset, or stands at `frozen_at`. Outside the sandbox no file is configured and the clock is the machine's.
"""

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass
class Clock:
    """:param file: the test clock's file; None outside the sandbox"""

    file: Path | None = None
    _read: tuple[tuple[int, int, int], float, datetime | None] | None = field(default=None, repr=False)

    def now(self) -> datetime:
        return self.moved(machine_time())

    def moved(self, machine_time: datetime) -> datetime:
        """What the business clock shows when a machine (this one, or a database's) shows `machine_time`."""
        offset_seconds, frozen_at = self._setting()
        return frozen_at or machine_time + timedelta(seconds=offset_seconds)

    def set(self, *, offset_seconds: float = 0.0, frozen_at: datetime | None = None) -> None:
        """Move the test clock for every process that shares its file."""
        if self.file is None:
            raise RuntimeError("there is no test clock outside the sandbox")
        setting = {"offset_seconds": offset_seconds, "frozen_at": frozen_at and rfc3339(frozen_at)}
        draft = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        draft.write_text(json.dumps(setting))
        draft.replace(self.file)

    def _setting(self) -> tuple[float, datetime | None]:
        if self.file is None:
            return 0.0, None
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return 0.0, None
        stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if self._read is None or self._read[0] != stamp:
            setting = json.loads(self.file.read_text())
            frozen_at = setting.get("frozen_at")
            self._read = (stamp, float(setting["offset_seconds"]), parse(frozen_at) if frozen_at else None)
        return self._read[1], self._read[2]


def machine_time() -> datetime:
    """What this machine takes for the time, whatever the test clock says: for telling how far clocks are apart."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-11-22T21:18:00Z`; fractions of a second only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """
    An RFC 3339 moment in UTC.

    :raises ValueError: if the text is no moment or names no zone
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)


def months_before(moment: datetime, months: int) -> datetime:
    """The first moment of the calendar month so many months before that of this one."""
    moment = moment.astimezone(UTC)
    whole = moment.year * 12 + moment.month - 1 - months
    return datetime(whole // 12, whole % 12 + 1, 1, tzinfo=UTC)


def next_month(moment: datetime) -> datetime:
    """The first moment of the calendar month after this one."""
    first = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
