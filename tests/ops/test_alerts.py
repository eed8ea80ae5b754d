"""The rules for Prometheus name figures and labels that there are, and parts of the page that says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import processes
from ops.documents import alerts
from ops.documents import metrics as document
from shared import metrics

pytestmark = pytest.mark.pure

DOCS = Path(__file__).parents[2] / "docs"
RULES: list[dict[str, Any]] = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"][0]["rules"]
HEADINGS = set(re.findall(r"^## (.+)$", (DOCS / "operations.md").read_text(), re.MULTILINE))
PROMETHEUS_OWN = {"le", "instance"}
ROLE = r'absent\(chatness_build_info\{role=~"([^"]+)"\}\)'


def shown() -> dict[str, set[str]]:
    """The labels of every series that we show, by its name."""
    found = {}
    for metric in metrics.all_of_ours():
        (described,) = metric.describe()
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}[described.type]
        found |= {f"{described.name}{ending}": set(metric._labelnames) for ending in endings}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"] + rule["labels"].get("service", ""))
class TestAlert:
    def test_asks_for_figures_and_labels_that_there_are(self, rule):
        series = shown()
        names = re.findall(r"chatness_\w+", rule["expr"])

        assert names
        assert [name for name in names if name not in series] == []
        labels = set.union(*(series[name] for name in names)) | PROMETHEUS_OWN
        grouped = {
            label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")
        }
        selected = set(re.findall(r"[{,]\s*(\w+)(?:=~|=)", rule["expr"]))
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert (grouped | selected | told) - labels == set()
        assert told - grouped == set(), "it tells what it does not group by"

    def test_has_brackets_that_match(self, rule):
        left = re.sub(r'"[^"]*"|[^()\[\]{}]', "", rule["expr"])
        while (fewer := re.sub(r"\(\)|\[\]|\{\}", "", left)) != left:
            left = fewer

        assert left == ""

    def test_says_how_urgent_it_is_and_where_it_says_what_to_do(self, rule):
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["section"] in HEADINGS
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


class TestWhatIsMissing:
    """A process that is dead shows nothing: that it is missing is all there is to see."""

    @pytest.mark.parametrize("service", [*processes.SERVICES, "gateway"])
    @pytest.mark.parametrize("verb", ["serve", "worker"])
    def test_is_told_of_each_service(self, verb: str, service: str):
        rules = [rule for rule in RULES if rule["labels"].get("service") == service]
        roles = [re.fullmatch(ROLE, rule["expr"]) for rule in rules]
        others = " ".join(name for name in processes.SERVICES if name != service)

        found = [role[1] for role in roles if role and role[1].startswith(verb)]
        if (verb, service) == ("worker", "gateway"):
            assert found == []
            return
        (pattern,) = found
        for role in (f"{verb} {service}", f"{verb} {service} {others}", f"{verb} {others} {service}"):
            assert re.fullmatch(pattern, role), "Prometheus fits the whole of it"
        for other in (f"{verb} {others}", f"{verb} {service}s"):
            assert not re.fullmatch(pattern, other)


def test_the_file_has_every_rule():
    assert [rule["alert"] for rule in RULES] == [alert.name for alert in alerts.ALERTS]


def test_the_document_has_every_figure_once():
    documented = [metric for _about, listed in document.SECTIONS.values() for metric in listed]

    assert len(documented) == len(set(documented))
    assert set(documented) == set(metrics.all_of_ours())
