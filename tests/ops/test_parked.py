"""What is parked in a database of quota's, listed, counted and passed over."""

import json

import pytest

from ops import exits, parked, reach
from shared import clock, database, migrate, tables
from tests.infrastructure import NewDatabase
from tests.shared import test_envelope


@pytest.fixture
def home(surroundings: pytest.MonkeyPatch, new_database: NewDatabase) -> database.Database:
    url = new_database()
    migrate.upgrade(url, None)
    surroundings.setenv("QUOTA_DATABASE_URL", url)
    return reach.open_database("quota")


def park(home: database.Database, *streams: str) -> None:
    """One event of each, at the positions 1, 2, 3 …"""
    with home.begin() as session:
        for position, stream in enumerate(streams, start=1):
            event = test_envelope.sample(producer="billing", position=position, stream=stream, version=position)
            row = tables.Parked(
                producer="billing",
                position=position,
                stream=stream,
                version=position,
                name=event.name,
                envelope=event.encode(),
                reason="a test",
                parked_at=clock.machine_time(),
                unreadable=False,
            )
            session.add(row)


class TestRedrive:
    def test_says_what_it_would_do_stream_by_stream_without_their_events(self, home, capsys):
        park(home, "sub-org_a", "sub-org_b", "sub-org_a")

        assert parked.redrive(["quota"], [], "", execute=False, as_json=False) == exits.OK

        assert capsys.readouterr().out.splitlines() == [
            "quota from billing, sub-org_a: 2 would be redriven, versions 1 to 3",
            "quota from billing, sub-org_b: 1 would be redriven, versions 2 to 2",
        ]


class TestListParked:
    def test_gives_so_many_and_says_that_there_are_more(self, home, capsys):
        park(home, "sub-org_a", "sub-org_b", "sub-org_a")

        assert parked.list_parked(["quota"], [], "", 2, True) == exits.OK

        output = capsys.readouterr()
        assert [json.loads(line)["id"] for line in output.out.splitlines()] == ["quota/billing/1", "quota/billing/2"]
        assert output.err == "quota: there are more than 2: --limit\n"


class TestDiscard:
    def test_says_so_if_the_event_is_gone_between_the_look_and_the_deed(self, home, capsys):
        park(home, "sub-org_a")
        twice = ["quota/billing/1", "quota/billing/1"]

        with pytest.raises(exits.NotThere, match="quota/billing/1 any more"):
            parked.discard(twice, reason="a test", actor="ada", execute=True, as_json=False)

        assert capsys.readouterr().out == "quota/billing/1  discarded\n"
