"""Whoever follows docs/going-live.md must find what it names: commands, settings, prices, figures."""

import dataclasses
import re

import pytest

from ops import processes
from ops.documents import configuration
from services.billing import catalogue
from shared import database
from tests.deployment import files
from tests.ops import test_operations_page

pytestmark = pytest.mark.pure

PAGE = (files.ROOT / "docs" / "going-live.md").read_text()
COMMANDS = sorted(
    {found for found in re.findall(r"`(chatness [^`]+)`", PAGE.replace("\n", " ")) if "SERVICE" not in found}
)
SETTING = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


class TestThePage:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_names_commands_that_exist(self, command: str):
        test_operations_page.check(command)

    def test_names_settings_that_exist(self):
        known = {
            field.metadata["name"] for kind in configuration.sections().values() for field in dataclasses.fields(kind)
        }
        known |= {*files.dotenv(), *(f"{name}_FILE" for name in known)}
        named = set(SETTING.findall(PAGE))

        assert len(named) > 10
        assert named - known == set()

    def test_says_how_to_change_every_key(self):
        secrets = {
            field.metadata["name"]
            for kind in configuration.sections().values()
            for field in dataclasses.fields(kind)
            if field.metadata["secret"] and not field.metadata["name"].endswith(("_URL", "_URI"))
        }

        assert {name for name in secrets if f"| `{name}` |" not in PAGE} == set()

    def test_has_the_prices_of_the_catalogue(self):
        plans = [plan for plan in catalogue.load(catalogue.DEFAULT).plans if plan.price_cents]
        rows = {f"| {plan.name} | {plan.price_cents} {plan.currency} | `{plan.lookup_key}` |" for plan in plans}

        assert {row for row in rows if row not in PAGE} == set()

    def test_counts_the_connections_that_the_processes_open(self):
        pool = 2 * next(field.default for field in dataclasses.fields(database.Database) if field.name == "pool_size")
        most = len(processes.SERVICES) * (pool + pool + 1)

        assert f"need {most} at most; two of each in Kubernetes {2 * most}" in PAGE

    def test_is_linked_to_by_what_leads_here(self):
        assert "(docs/going-live.md)" in (files.ROOT / "README.md").read_text()
