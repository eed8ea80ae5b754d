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
OF_A_LOOKER = 2  # /readyz and /metrics look at the database by themselves
OF_A_LISTENER = 1  # a worker hears NOTIFY
FENCED = re.compile(r"^ *```\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`(chatness [^`]+)`", " ".join(FENCED.sub("", PAGE).split()))
IN_BLOCKS = re.findall(r"\bchatness [^|>\n]+", "\n".join(FENCED.findall(PAGE)))
COMMANDS = sorted({found.replace("$name", "quota") for found in (*INLINE, *IN_BLOCKS) if "SERVICE" not in found})
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
        serve = pool + OF_A_LOOKER
        worker = pool + OF_A_LISTENER + 2 * OF_A_LOOKER
        most = len(processes.SERVICES) * (serve + worker)

        assert f"a `serve` holds up to {serve} to each of its services' databases, a `worker` up to {worker}" in PAGE
        assert f"need {most} at most; two of each in Kubernetes {2 * most}" in PAGE
        assert int(files.compose()["services"]["postgres"]["command"][-1].partition("=")[2]) > 2 * most

    def test_is_linked_to_by_what_leads_here(self):
        assert "(docs/going-live.md)" in (files.ROOT / "README.md").read_text()
