"""The workflow is valid, asks for little, and names its actions by what nobody can change."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment import files

pytestmark = pytest.mark.pure

WORKFLOW = files.ROOT / ".github" / "workflows" / "test.yml"
PINNED = re.compile(r"actions/[a-z-]+@[0-9a-f]{40}")


def check(path: Path) -> int:
    return files.tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path).returncode


def workflow() -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    return read


def steps() -> list[dict[str, Any]]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_is_valid():
    assert check(WORKFLOW) == 0


def test_would_be_refused_with_a_mistyped_word(tmp_path):
    broken = tmp_path / "test.yml"
    broken.write_text(WORKFLOW.read_text().replace("runs-on:", "run-on:", 1))

    assert check(broken) == 1


def test_may_read_and_nothing_more():
    assert workflow()["permissions"] == {"contents": "read"}
    assert [job for job in workflow()["jobs"].values() if "permissions" in job] == []


def test_ends():
    assert [name for name, job in workflow()["jobs"].items() if "timeout-minutes" not in job] == []
    assert workflow()["concurrency"]["cancel-in-progress"] is True


def test_uses_no_action_that_could_become_another():
    used = [step["uses"] for step in steps() if "uses" in step]

    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []


def test_runs_only_targets_that_exist():
    targets = re.findall(r"^([a-z-]+):", (files.ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = [step["run"].split()[1] for step in steps() if step.get("run", "").startswith("make ")]

    assert asked
    assert set(asked) - set(targets) == set()


def test_starts_only_what_compose_has():
    commands = [step["run"] for step in steps() if "docker compose" in step.get("run", "")]
    asked = {name for run in commands for name in re.findall(r"(?:exec -T|run --rm) ([a-z-]+)", run)}

    assert asked == {"mail", "chatness"}
    assert asked - set(files.compose()["services"]) == set()
