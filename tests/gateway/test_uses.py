from datetime import UTC, datetime, timedelta

import eventlet
import pytest

from services.gateway import uses
from shared import errors

pytestmark = pytest.mark.pure


class Owner:
    """The service that is told; it may be away."""

    def __init__(self):
        self.told = []
        self.fault = None
        self.now = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)

    def tell(self, secret_ids):
        if self.fault:
            raise self.fault
        self.told.append(list(secret_ids))

    def uses(self):
        return uses.Uses(self.tell, now=lambda: self.now)


@pytest.fixture
def owner(monkeypatch):
    monkeypatch.setattr(uses, "GATHER_SECONDS", 0.01)
    return Owner()


def wait_for(found):
    with eventlet.Timeout(5):
        while not found():
            eventlet.sleep(0.005)


class TestUses:
    def test_tells_together_what_is_noted_together_each_once(self, owner):
        noted = owner.uses()
        for secret_id in ("sec_1", "sec_2", "sec_1"):
            noted.note(secret_id)
        assert owner.told == []

        wait_for(lambda: owner.told)

        assert owner.told == [["sec_1", "sec_2"]]

    def test_tells_of_a_secret_once_an_hour_however_often_it_is_used(self, owner):
        noted = owner.uses()
        for minutes in (0, 29, 1, 59, 1):
            owner.now += timedelta(minutes=minutes)
            for _ in range(100):
                noted.note("sec_1")
            noted.tell()

        assert owner.told == [["sec_1"]] * 3

    def test_tells_again_when_the_clock_was_set_back(self, owner):
        noted = owner.uses()
        for hours in (0, -1):
            owner.now += timedelta(hours=hours)
            noted.note("sec_1")
            noted.tell()

        assert owner.told == [["sec_1"]] * 2

    @pytest.mark.parametrize("fault", [errors.Unavailable("service_unavailable"), ZeroDivisionError()])
    def test_tells_later_what_did_not_arrive(self, owner, fault):
        noted = owner.uses()
        owner.fault = fault
        noted.note("sec_1")
        noted.tell()
        owner.now += timedelta(hours=1)
        noted.note("sec_1")
        noted.note("sec_2")
        owner.fault = None

        wait_for(lambda: owner.told)

        assert owner.told == [["sec_1", "sec_2"]]

    def test_tells_many_in_parts(self, owner, monkeypatch):
        monkeypatch.setattr(uses, "MOST_AT_ONCE", 2)
        noted = owner.uses()
        for number in range(5):
            noted.note(f"sec_{number}")

        noted.tell()

        assert owner.told == [["sec_0", "sec_1"], ["sec_2", "sec_3"], ["sec_4"]]

    def test_begins_anew_where_it_has_no_room_for_more(self, owner, monkeypatch):
        monkeypatch.setattr(uses, "MOST_KNOWN", 2)
        noted = owner.uses()
        for number in (0, 1, 0, 2, 0):
            noted.note(f"sec_{number}")
            noted.tell()

        assert owner.told == [["sec_0"], ["sec_1"], ["sec_2"], ["sec_0"]]
