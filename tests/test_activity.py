"""Every event is either shown in an org's activity or listed as one that is not; and what is shown can be said."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from services.gateway.pages import happenings
from shared import activity, events

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parent.parent
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/events.py"))
PERSON = activity.Actor(kind="person", id="acc_1", session_id="ses_1")
ACTIONS = (
    *("started", "upgraded", "downgraded", "canceled", "scheduled", "withdrawn", "renewed"),
    *("fell_back", "recovered", "corrected"),
)


def trail_of(service: str) -> activity.Trail:
    trail: activity.Trail = import_module(f"services.{service}.activity").TRAIL
    return trail


def catalogue_of(service: str) -> events.Catalogue:
    catalogue: events.Catalogue = import_module(f"services.{service}.events").CATALOGUE
    return catalogue


def examples() -> Iterator[tuple[str, Any]]:
    """Of each event that is shown the newest golden file, and of a change of the subscription one of each action."""
    for service in SERVICES:
        for fact_class in trail_of(service).shown:
            name = fact_class.name.removeprefix(f"{service}.")
            file = ROOT / f"tests/golden/{service}/{name}.v{fact_class.schema}.json"
            data = json.loads(file.read_text())
            for action in ACTIONS if name == "SubscriptionChanged" else ("",):
                given = {**data, "action": action, "plan_before": "free"} if action else data
                yield service, catalogue_of(service).decode(fact_class.name, fact_class.schema, given)


EXAMPLES = list(examples())
NAMES = [f"{type(fact).__name__} {getattr(fact, 'action', '')}".strip() for _, fact in EXAMPLES]


def shown(service: str, fact: Any, actor: activity.Actor = PERSON) -> activity.Entry | None:
    return trail_of(service).shown[type(fact)](fact, actor)


@pytest.mark.parametrize("service", SERVICES)
class TestTrail:
    def test_shows_or_hides_each_event_of_the_service_and_none_both_ways(self, service):
        trail, known = trail_of(service), set(catalogue_of(service).classes.values())

        assert set(trail.shown) | trail.hidden == known
        assert set(trail.shown) & trail.hidden == set()

    def test_ends_with_a_fact_that_it_does_not_show(self, service):
        trail = trail_of(service)

        assert trail.ends is None or trail.ends in trail.hidden

    def test_is_what_the_services_door_gives(self, service):
        assert import_module(f"services.{service}.service").SERVICE.trail is trail_of(service)


class TestEntry:
    @pytest.mark.parametrize("service, fact", EXAMPLES, ids=NAMES)
    def test_is_said_in_words_with_nothing_left_open(self, service, fact):
        entry = shown(service, fact)

        assert entry is not None or type(fact).__name__ == "MemberJoined"
        if entry is not None:
            kind, id = entry.subject
            subject = {"kind": kind, "id": id, "name": "Engine"} if kind else None
            said = happenings.sentence({"what": entry.what, "subject": subject, "details": entry.details})
            assert entry.what in happenings.WORDS
            assert "…" not in said
            assert "{" not in said
            json.dumps(entry.details)

    def test_of_every_word_there_is_an_event(self):
        words = {entry.what for service, fact in EXAMPLES if (entry := shown(service, fact))}
        more = {"member_joined", "member_left", "member_removed"}  # by who acts, and by the role

        assert set(happenings.WORDS) - more == words - more

    def test_says_who_left_and_who_was_removed(self):
        removed = import_module("services.accounts.events").MemberRemoved(org_id="org_1", account_id="acc_2")
        actors = {
            "member_left": [
                activity.Actor(kind="person", id="acc_2"),
                activity.Actor(kind="service", id="accounts"),
            ],
            "member_removed": [activity.Actor(kind="person", id="acc_1")],
        }

        for what, those in actors.items():
            assert {entry.what for one in those if (entry := shown("accounts", removed, one))} == {what}

    def test_tells_nothing_of_a_founders_joining_and_of_an_orgs_first_plan(self):
        joined = import_module("services.accounts.events").MemberJoined
        changed = next(fact for _, fact in EXAMPLES if type(fact).__name__ == "SubscriptionChanged")
        first = type(changed)(**{**vars(changed), "plan_before": ""})

        assert shown("accounts", joined(org_id="org_1", account_id="acc_1", role="owner")) is None
        assert shown("accounts", joined(org_id="org_1", account_id="acc_1", role="member")) is not None
        assert shown("billing", first) is None
