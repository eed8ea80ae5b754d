"""
Every event that was ever written can still be read: one file for each schema version of each event, never edited.

`tests/golden/<service>/<EventName>.v<schema>.json` holds the data as they stand in the stream.
"""

import json
import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from shared import events

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parent.parent
FILES = sorted(path.relative_to(ROOT / "tests/golden") for path in (ROOT / "tests/golden").glob("*/*.json"))
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/events.py"))


def catalogue_of(service: str) -> events.Catalogue:
    catalogue: events.Catalogue = import_module(f"services.{service}.events").CATALOGUE
    return catalogue


def expected_files() -> set[Path]:
    """One for each version from 1 to the present one, of each event of each service."""
    return {
        Path(service) / f"{name.removeprefix(f'{service}.')}.v{schema}.json"
        for service in SERVICES
        for name, event in catalogue_of(service).classes.items()
        for schema in range(1, event.schema + 1)
    }


def read(file: Path) -> Any:
    return json.loads((ROOT / "tests/golden" / file).read_text())


def test_every_schema_version_of_every_event_has_a_golden_file():
    assert sorted(expected_files() - set(FILES)) == []


def test_no_golden_file_is_of_an_event_that_nobody_knows():
    assert sorted(set(FILES) - expected_files()) == []


def test_every_event_is_named_after_its_service_and_class():
    for service in SERVICES:
        for name, event in catalogue_of(service).classes.items():
            assert name == f"{service}.{event.__name__}"


def test_a_catalogue_makes_public_only_what_it_knows():
    for service in SERVICES:
        assert catalogue_of(service).public <= set(catalogue_of(service).classes)


@pytest.mark.parametrize("file", FILES, ids=str)
class TestGoldenFile:
    def test_is_read_as_the_present_class(self, file):
        service, name, schema = _parts(file)

        fact = catalogue_of(service).decode(f"{service}.{name}", schema, read(file))

        assert type(fact) is catalogue_of(service).classes[f"{service}.{name}"]

    def test_of_the_present_schema_is_written_again_as_it_stands(self, file):
        service, name, schema = _parts(file)
        event = catalogue_of(service).classes[f"{service}.{name}"]
        if schema < event.schema:
            return  # what an upcaster made of it is the business of the test above

        fact = catalogue_of(service).decode(f"{service}.{name}", schema, read(file))

        assert json.loads(_recorded(fact).data) == read(file)


def _parts(file: Path) -> tuple[str, str, int]:
    found = re.fullmatch(r"(\w+)/(\w+)\.v(\d+)\.json", file.as_posix())
    assert found, f"{file} is not called <service>/<EventName>.v<schema>.json"
    return found[1], found[2], int(found[3])


def _recorded(fact: Any) -> events.Recorded:
    some = {"id": "evt_1", "stream": "kind-subject", "version": 1, "meta": b"{}"}
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return events.record(fact, **some, at=at, previous_hash=events.GENESIS)
