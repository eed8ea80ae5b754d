"""The HTTP API keeps to its own description: schemathesis tries every operation of it against the running stack."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.stacks import Org, Running

CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "allow_header_conformance",
        "ignored_auth",
    )
)
# Any refusal is one: an address that is too long is 414. What is looked at and changed is there; what is ended is not
# what the others need.
CONFIGURATION = """
[checks]
negative_data_rejection.expected-statuses = ["4xx"]
[parameters]
bot_id = "{bot_id}"
message_id = "{message_id}"
secret_id = "{secret_id}"
session_id = "ses_nobodys"
[[operations]]
include-operation-id = "delete_bot"
parameters = {{ bot_id = "bot_nobodys" }}
"""
# Nothing could be asked after these; `test_secrecy` signs out, `test_membership` switches.
SUICIDAL = ("sign_out", "switch_org")
ENDLESS = "stream_usage"  # its answer would be waited for; `test_usage` listens
NO_JSON = "set_picture"  # schemathesis makes no pictures; `test_pictures` does
SEED = 20261124
# Every border of every schema once, by the one whom most is open to; whoever may less is refused before that.
PHASES = {"owner": "coverage,fuzzing", "program": "examples,fuzzing", "anyone": "examples,fuzzing"}


@pytest.fixture
def org(stack: Running) -> Org:
    """One for each test: what has been tried at an org leaves nothing that can be relied on."""
    return stack.sign_up()


def new_message(org: Org) -> str:
    return str(org.program.ask("POST", "/v1/messages", {"bot_id": org.bot_id}).json()["id"])


def new_secret(org: Org) -> str:
    return str(org.owner.ask("POST", "/v1/secrets", {"name": "to be revoked"}).json()["id"])


def try_all(org: Org, actor: str, directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """:param directory: where schemathesis and hypothesis may leave what they like"""
    ids = {"bot_id": org.bot_id, "message_id": new_message(org), "secret_id": new_secret(org)}
    (directory / "schemathesis.toml").write_text(CONFIGURATION.format(**ids))
    tokens = {"owner": org.owner.token, "program": org.program.token, "anyone": ""}
    header = ["--header", f"Authorization: Bearer {tokens[actor]}"] if tokens[actor] else []
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{org.stack.url}/openapi.json"),
            *("--checks", CHECKS, "--seed", str(SEED)),
            *(part for one in (*SUICIDAL, ENDLESS, NO_JSON) for part in ("--exclude-operation-id", one)),
            *("--generation-database", "none", "--no-color", *header, *options),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("actor", PHASES)
def test_every_operation_keeps_to_its_description(org: Org, actor: str, tmp_path: Path) -> None:
    tried = try_all(org, actor, tmp_path, "--phases", PHASES[actor], "--max-examples", "3")

    assert tried.returncode == 0, tried.stdout[-20_000:] + tried.stderr


@pytest.mark.soak
@pytest.mark.timeout(1900)
@pytest.mark.parametrize("actor", PHASES)
def test_every_operation_keeps_to_its_description_for_long(org: Org, actor: str, tmp_path: Path) -> None:
    tried = try_all(org, actor, tmp_path, "--max-examples", "100")

    assert tried.returncode == 0, tried.stdout[-20_000:] + tried.stderr
