"""`chatness quota credit`, on a quota with one org."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from ops import cli, exits
from services.quota import boundary, ledger

ORDER = "quota credit org_1 --messages 500 --reason because --expires 2027-01-31 --by ada"


@pytest.fixture
def home(open_database, surroundings):
    made = open_database("quota")
    surroundings.setenv("QUOTA_DATABASE_URL", made.url)
    with made.begin() as session:
        page = boundary.found(session, "org_1")
        free = {"version": 1, "plan": "free", "limit": 10, "max_resets": 2, "action": "started"}
        page.add(ledger.follow_subscription(page.month, **free, effective_period=page.month.period))
        boundary.write(session, [page])
    return made


def credits(home):
    with home.begin() as session:
        return boundary.open_page(session, "org_1").month.credits


def run(words):
    return CliRunner().invoke(cli.main, words.split())


class TestGrant:
    def test_changes_nothing_until_it_is_told_to(self, home):
        looked = run(ORDER)
        before = credits(home)
        done = run(f"{ORDER} --execute --json")

        assert (looked.exit_code, before) == (exits.OK, ())
        assert looked.stdout == (
            "org_1  500 messages until 2027-02-01T00:00:00Z would be granted; then it has 500 besides its plan\n"
        )
        assert exits.NO_CHANGE in looked.stderr
        (credit,) = credits(home)
        assert (credit.remaining, credit.expires_at) == (500, datetime(2027, 2, 1, tzinfo=UTC))
        granted = json.loads(done.stdout)
        assert (granted["id"], granted["granted"], granted["credits_remaining"]) == (credit.id, True, 500)

    def test_says_why_not(self, home):
        run(f"{ORDER} --execute")

        again, unknown = run(f"{ORDER} --execute"), run(ORDER.replace("org_1", "org_2"))
        late = run(f"{ORDER} --execute".replace("2027", "2024"))

        assert [one.exit_code for one in (again, unknown, late)] == [exits.CONFLICT, exits.NOT_FOUND, exits.CONFLICT]
        assert "has the same messages, end and reason: add --again" in again.stderr
        assert "knows no org org_2" in unknown.stderr
        assert "would have expired already, at 2024-02-01T00:00:00Z" in late.stderr
        assert len(credits(home)) == 1

    @pytest.mark.parametrize("reason", ["", "   "])
    def test_wants_a_reason_that_says_something(self, home, reason):
        words = [reason if word == "because" else word for word in ORDER.split()]

        refused = CliRunner().invoke(cli.main, [*words, "--execute"])

        assert (refused.exit_code, "it is empty" in refused.stderr) == (exits.USAGE, True)
        assert credits(home) == ()

    def test_says_when_the_database_is_away(self, surroundings):
        assert run(ORDER).exit_code == exits.AWAY
