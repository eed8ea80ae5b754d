"""One look for all who listen, news for those whom it concerns, and an end for each."""

import eventlet
import pytest

from services.gateway import streams
from shared import errors

pytestmark = pytest.mark.pure


class Numbers:
    """What is to be told by org; `looks` are the orgs that were asked about together."""

    def __init__(self, **by_org: bytes) -> None:
        self.by_org = by_org
        self.looks: list[list[str]] = []
        self.fault: Exception | None = None

    def look(self, org_ids):
        self.looks.append(list(org_ids))
        if self.fault:
            raise self.fault
        return {org_id: self.by_org[org_id] for org_id in org_ids if org_id in self.by_org}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.1)


@pytest.fixture
def numbers():
    return Numbers(org_1=b"one", org_2=b"two")


@pytest.fixture
def opened(quick, numbers):
    made = streams.Streams(numbers.look)
    yield made
    made.stop()


def heard(listener, count, *, may_go_on=lambda: True):
    """The next that it is sent, up to so many."""
    found = []
    with eventlet.Timeout(5):
        for piece in listener.hear(may_go_on):
            found.append(piece)
            if len(found) == count:
                break
    return found


def news(listener, count=1):
    with eventlet.Timeout(5):
        found = (piece for piece in listener.hear(lambda: True) if piece != streams.HEARTBEAT)
        return [next(found) for _ in range(count)]


class TestLooking:
    def test_is_done_once_for_all_and_told_to_those_whom_it_concerns(self, opened, numbers):
        listeners = [opened.open(org_id) for org_id in ("org_1", "org_1", "org_2")]

        assert [news(listener) for listener in listeners] == [[b"one"], [b"one"], [b"two"]]
        numbers.by_org["org_2"] = b"more"
        assert news(listeners[2]) == [b"more"]
        assert heard(listeners[0], 1) == [streams.HEARTBEAT]
        assert numbers.looks[0] == ["org_1", "org_2"]

    def test_is_not_done_where_nobody_listens_and_begins_anew_when_somebody_does(self, opened, numbers):
        first = opened.open("org_1")
        news(first)
        opened.close(first)
        eventlet.sleep(0.05)
        looks = len(numbers.looks)
        eventlet.sleep(0.1)
        assert len(numbers.looks) == looks

        numbers.by_org["org_1"] = b"later"
        assert news(opened.open("org_1")) == [b"later"]

    @pytest.mark.parametrize("fault", [errors.Unavailable("service_unavailable"), ZeroDivisionError()])
    def test_goes_on_when_it_failed(self, opened, numbers, fault):
        numbers.fault = fault
        listener = opened.open("org_1")
        assert heard(listener, 1) == [streams.HEARTBEAT]

        numbers.fault = None

        assert news(listener) == [b"one"]

    def test_tells_of_an_org_as_soon_as_it_is_known(self, opened, numbers):
        listener = opened.open("org_3")
        assert heard(listener, 1) == [streams.HEARTBEAT]

        numbers.by_org["org_3"] = b"three"

        assert news(listener) == [b"three"]

    def test_asks_about_so_many_at_once_as_quota_takes(self, opened, numbers):
        listeners = [opened.open(f"org_{number}") for number in range(streams.MOST_ORGS + 1)]
        eventlet.sleep(0.01)

        assert sorted(map(len, numbers.looks[:2])) == [1, streams.MOST_ORGS]
        assert len(listeners) == len({org_id for look in numbers.looks[:2] for org_id in look})


class TestListener:
    def test_is_asked_for_its_token_when_there_is_a_doubt_and_now_and_then(self, opened):
        listener, answers = opened.open("org_1"), [True, False]
        news(listener)

        opened.doubt()

        assert heard(listener, 9, may_go_on=lambda: answers.pop(0)) == [streams.HEARTBEAT]
        assert answers == []

    def test_ends_with_the_process_and_none_begins_then(self, opened):
        listener = opened.open("org_1")
        news(listener)
        waiting = eventlet.spawn(heard, listener, 1)
        eventlet.sleep(0)

        opened.stop()

        assert waiting.wait() == []
        with pytest.raises(errors.Unavailable) as refused:
            opened.open("org_1")
        assert refused.value.code == "no_stream_free"

    def test_comes_back_at_another_moment_than_the_next(self, opened):
        assert opened.greeting() != opened.greeting()


class TestPlaces:
    def test_are_bounded_for_an_org_and_for_all_and_given_back(self):
        places = streams.Places(3, most_of_an_org=2)
        for org_id in ("org_1", "org_1", "org_2"):
            places.take(org_id)

        refusals = []
        for org_id in ("org_1", "org_2"):
            with pytest.raises(errors.ServiceError) as refused:
                places.take(org_id)
            refusals.append(refused.value.code)
        assert refusals == ["too_many_streams", "no_stream_free"]
        places.give_back("org_1")
        places.take("org_2")
        assert places.taken == 3
