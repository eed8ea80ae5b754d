import threading
from collections.abc import Iterator

import pytest

from shared import watchdog

pytestmark = pytest.mark.pure


@pytest.fixture
def resting() -> Iterator[threading.Thread]:
    """A thread that has said once that it goes on, and rests for an hour before it does."""
    has_said, may_end = threading.Event(), threading.Event()

    def rest() -> None:
        watchdog.go_on(rest_seconds=3600)
        has_said.set()
        may_end.wait(10)

    thread = threading.Thread(target=rest, name="resting")
    thread.start()
    assert has_said.wait(10)
    yield thread
    may_end.set()
    thread.join()


class TestStuck:
    def test_is_nobody_who_goes_on_or_rests_as_long_as_it_said(self, resting, monkeypatch):
        monkeypatch.setattr(watchdog, "STUCK_SECONDS", 0.5)
        watchdog.go_on()

        assert watchdog.stuck([resting, threading.current_thread()]) == []

    def test_is_who_has_not_gone_on_for_too_long(self, resting, monkeypatch):
        monkeypatch.setattr(watchdog, "STUCK_SECONDS", -3700.0)

        assert watchdog.stuck([resting]) == ["resting"]

    def test_is_who_has_ended(self):
        thread = threading.Thread(target=watchdog.go_on, name="ended")
        thread.start()
        thread.join()

        assert watchdog.stuck([thread]) == ["ended"]
