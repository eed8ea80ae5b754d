"""Pages of activity, put together from four lists that grow meanwhile; and what a person reads."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import activity
from services.gateway.pages import happenings, org
from shared import clock
from tests.gateway.test_pages_said import render

__all__ = ["render"]

pytestmark = pytest.mark.pure

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
# A few moments, so that many rows have the same; with and without fractions of a second.
MOMENTS = st.integers(0, 8).map(lambda half: NOON + timedelta(seconds=half / 2))
ROWS = st.lists(st.tuples(st.integers(0, 3), MOMENTS), max_size=40)
NAMES = {"acc_1": "Ada", "sec_1": "Website"}


def row(number: int, at: datetime) -> dict[str, object]:
    return {"id": f"evt_{number:04}", "at": clock.rfc3339(at)}


def place_of(one: dict[str, object]) -> tuple[datetime, str]:
    return clock.parse(str(one["at"])), str(one["id"])


def fetch_of(kept: list[dict[str, object]]) -> Callable[..., list[dict[str, object]]]:
    """As a service gives its part: the newest first, at most so many, beyond a place."""

    def fetch(before: list[str] | None, limit: int) -> list[dict[str, object]]:
        found = sorted(kept, key=place_of, reverse=True)
        if before is not None:
            found = [one for one in found if place_of(one) < (clock.parse(before[0]), before[1])]
        return found[:limit]

    return fetch


class TestMerged:
    @given(rows=ROWS, later=ROWS, limit=st.integers(1, 7))
    def test_shows_each_row_once_and_in_order_while_newer_ones_are_added(self, rows, later, limit):
        lists: list[list[dict[str, object]]] = [[], [], [], []]
        for number, (service, at) in enumerate(rows):
            lists[service].append(row(number, at))
        there = sorted((one for part in lists for one in part), key=place_of, reverse=True)
        added = iter(
            [(service, row(1000 + number, at + timedelta(minutes=1))) for number, (service, at) in enumerate(later)]
        )

        seen, place = activity.merged(map(fetch_of, lists), before=None, limit=limit)
        while place is not None:
            if newer := next(added, None):
                lists[newer[0]].append(newer[1])
            page, place = activity.merged(map(fetch_of, lists), before=place, limit=limit)
            assert 0 < len(page) <= limit
            seen += page

        assert seen == there

    @given(rows=ROWS, later=ROWS, limit=st.integers(1, 7))
    def test_shows_no_row_twice_and_loses_none_whenever_others_are_added(self, rows, later, limit):
        """One that is committed late may have an older moment than what was seen."""
        lists: list[list[dict[str, object]]] = [[], [], [], []]
        for number, (service, at) in enumerate(rows):
            lists[service].append(row(number, at))
        there = [one for part in lists for one in part]
        added = iter([(service, row(1000 + number, at)) for number, (service, at) in enumerate(later)])

        seen, place = activity.merged(map(fetch_of, lists), before=None, limit=limit)
        while place is not None:
            if other := next(added, None):
                lists[other[0]].append(other[1])
            page, place = activity.merged(map(fetch_of, lists), before=place, limit=limit)
            seen += page

        ids = [one["id"] for one in seen]
        assert len(ids) == len(set(ids))
        assert {one["id"] for one in there} <= set(ids)
        assert seen == sorted(seen, key=place_of, reverse=True)

    def test_has_no_more_where_the_page_ends_with_the_last_row(self):
        rows = [row(number, NOON) for number in range(3)]

        assert activity.merged([fetch_of(rows)], before=None, limit=3)[1] is None
        assert activity.merged([fetch_of(rows)], before=None, limit=2)[1] == ["2026-11-22T12:00:00Z", "evt_0001"]
        assert activity.merged([fetch_of([])] * 4, before=None, limit=2) == ([], None)


class TestShownActor:
    @pytest.mark.parametrize(
        "actor, shown, said",
        [
            (("person", "acc_1", "ses_1"), ("person", "acc_1", "Ada", "ses_1"), "by Ada"),
            (("person", "acc_9", ""), ("person", "acc_9", None, None), "by a former member"),
            (("person", "acc_2", "ses_2"), ("person", "acc_2", None, "ses_2"), "by you"),
            (("secret", "sec_1", ""), ("secret", "sec_1", "Website", None), "with the API secret Website"),
            (("secret", "sec_9", ""), ("secret", "sec_9", None, None), "with an API secret"),
            (("service", "billing", ""), ("system", None, None, None), ""),
            (("service", "bot-runtime", ""), ("service", "bot-runtime", "bot-runtime", None), "by bot-runtime"),
            (("operator", "", ""), ("operator", None, None, None), "by our support"),
            (("anyone", "", ""), ("anyone", None, None, None), ""),
        ],
    )
    def test_is_who_did_it_by_the_name_that_they_have_now(self, actor, shown, said):
        given = dict(zip(("kind", "id", "session_id"), actor, strict=True))

        found = activity.shown_actor(given, NAMES)

        assert found == dict(zip(("kind", "id", "name", "session_id"), shown, strict=True))
        assert happenings.doer(found, own_id="acc_2") == said


class TestSentence:
    def test_of_a_word_that_the_page_does_not_know_is_the_word(self):
        assert happenings.sentence({"what": "bot_painted", "subject": None, "details": {}}) == "Bot painted"

    def test_names_what_has_no_name_any_more(self):
        gone = {"kind": "account", "id": "acc_9", "name": None}

        assert happenings.sentence({"what": "member_removed", "subject": gone, "details": {}}) == (
            "A former member was removed from the organization"
        )

    def test_takes_nothing_in_a_name_for_a_place_to_fill(self):
        bot = {"kind": "bot", "id": "bot_1", "name": "{plan} {0}"}

        assert happenings.sentence({"what": "bot_created", "subject": bot, "details": {}}) == (
            "The bot {plan} {0} was created"
        )

    @pytest.mark.parametrize("cents, said", [(1900, "and $19 went back"), (0, "and nothing went back")])
    def test_says_how_much_went_back(self, cents, said):
        details = {"plan": "growth", "refunded_cents": cents, "currency": "usd" if cents else ""}

        found = happenings.sentence({"what": "duplicate_subscription_ended", "subject": None, "details": details})

        assert found.endswith(said)


LINE = {"id": "evt_1", "at": "2026-11-22T12:00:00Z", "said": "The bot <b>Ada</b> was created", "doer": "by you"}


class TestPage:
    def test_says_that_there_is_nothing_yet_and_leads_nowhere(self, render):
        page = render("account/activity", rows=[], cursor="", next_cursor=None)

        assert "Nothing yet." in page
        assert "Older" not in page
        assert "Newest" not in page

    def test_shows_who_and_when_and_the_way_on(self, render):
        page = render("account/activity", rows=[LINE], cursor="before", next_cursor="more")

        assert "The bot &lt;b&gt;Ada&lt;/b&gt; was created" in page
        assert "by you" in page
        assert "22 Nov 2026, 12:00 UTC" in page
        assert 'href="/account/activity?cursor=more">Older' in page
        assert 'href="/account/activity">Newest' in page

    @pytest.mark.parametrize("role, leads", [("owner", True), ("member", False)])
    def test_is_found_by_the_owner_under_org(self, site, render, role, leads):
        with site.test_request_context("/account/org"):
            forms = org.forms_of({"id": "org_1", "name": "Engines"})
        forms["owner"].account_id.choices = []
        lists = {"members": [], "others": [], "invitations": [], "orgs": [], "most": 100}

        page = render("account/org", role=role, forms=forms, org={"id": "org_1", "name": "Engines"}, **lists)

        assert ('href="/account/activity"' in page) == leads
