"""The descriptions of the events, held against the events that were written and against AsyncAPI's own rules."""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops.documents import asyncapi, facts
from shared import envelope, events

pytestmark = pytest.mark.pure

GOLDEN = Path(__file__).parents[1] / "golden"
DOCUMENT = json.loads(asyncapi.render())
TOLD = list(facts.told())
PUBLIC = [fact for told in TOLD for fact in told.public]
ALL = [fact for told in TOLD for fact in (*told.public, *told.private)]
FILES = sorted(GOLDEN.glob("*/*.json"))


def catalogue_of(service: str) -> events.Catalogue:
    catalogue: events.Catalogue = import_module(f"services.{service}.events").CATALOGUE
    return catalogue


def present(file: Path) -> tuple[str, dict[str, Any]]:
    """A golden file's event, and its data in the present shape."""
    service, (title, version, _json) = file.parent.name, file.name.split(".")
    name = f"{service}.{title}"
    fact = catalogue_of(service).decode(name, int(version.removeprefix("v")), json.loads(file.read_text()))
    return name, json.loads(events.encode({field.name: getattr(fact, field.name) for field in fields(fact)}))


def message(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The event on its way, as the relay publishes it."""
    service = name.partition(".")[0]
    return envelope.Envelope(
        producer=service,
        epoch="4f6c",
        position=1,
        hash="0" * 64,
        event_hash="f" * 64,
        stream="kind-org_1",
        version=1,
        id="evt_1",
        name=name,
        schema=catalogue_of(service).classes[name].schema,
        time=datetime(2026, 11, 24, tzinfo=UTC),
        data=data,
    ).to_json()


def validator(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator({"$ref": f"#/components/messages/{name}/payload", **DOCUMENT})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(reference: str) -> Any:
    found = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


class TestEvents:
    @pytest.mark.parametrize("fact", ALL, ids=lambda fact: fact.name)
    def test_say_when_they_are_told_and_what_each_field_is(self, fact):
        assert fact.said
        assert [field.name for field in fact.fields if not field.meaning] == []

    @pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
    def test_that_were_written_fit_their_schema(self, file):
        name, data = present(file)
        (fact,) = [fact for fact in ALL if fact.name == name]

        jsonschema.Draft7Validator(fact.schema).validate(data)

    def test_may_hold_nothing_but_what_json_has_only_one_way_to_write(self):
        with pytest.raises(ValueError, match="float"):
            facts._schema(float)


class TestMessages:
    @pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
    def test_that_are_published_fit_their_payload(self, file):
        name, data = present(file)
        if name in {fact.name for fact in PUBLIC}:
            validator(name).validate(message(name, data))
        else:
            assert name not in DOCUMENT["components"]["messages"]

    @pytest.mark.parametrize(
        "changed",
        [{"type": "billing.PaymentFailed"}, {"schemaversion": 99}, {"position": 0}, {"loghash": "x"}, {"data": {}}],
        ids=lambda changed: next(iter(changed)),
    )
    def test_of_another_kind_do_not(self, changed):
        name, data = present(GOLDEN / "billing" / "SubscriptionChanged.v1.json")

        assert not validator(name).is_valid({**message(name, data), **changed})

    def test_with_a_field_more_do_not(self):
        name, data = present(GOLDEN / "billing" / "SubscriptionChanged.v1.json")

        assert not validator(name).is_valid(message(name, {**data, "email": "x"}))

    def test_have_the_attributes_that_are_described(self):
        assert list(message("billing.SubscriptionChanged", {})) == list(facts.ATTRIBUTES)


class TestDocument:
    def test_has_what_asyncapi_asks_for(self):
        assert DOCUMENT["asyncapi"] == "3.0.0"
        assert {"title", "version"} <= set(DOCUMENT["info"])
        for channel in DOCUMENT["channels"].values():
            assert {"address", "messages"} <= set(channel)
        for operation in DOCUMENT["operations"].values():
            assert operation["action"] in {"send", "receive"}

    def test_refers_to_nothing_that_is_not_there(self):
        found = set(references(DOCUMENT))

        assert found
        assert all(isinstance(resolve(reference), dict) for reference in found)

    def test_tells_in_each_operation_all_messages_of_its_channel(self):
        for operation in DOCUMENT["operations"].values():
            channel = operation["channel"]["$ref"]
            listed = {reference["$ref"] for reference in operation["messages"]}
            assert listed == {f"{channel}/messages/{name}" for name in resolve(channel)["messages"]}

    def test_has_every_public_event_and_no_private_one(self):
        told = {name for service in facts.services() for name in catalogue_of(service).public}

        assert set(DOCUMENT["components"]["messages"]) == told
        assert set(DOCUMENT["components"]["schemas"]) == {*told, "Envelope"}

    def test_has_schemas_that_are_schemas(self):
        for schema in DOCUMENT["components"]["schemas"].values():
            jsonschema.Draft7Validator.check_schema(schema)
