"""`chatness stripe setup`, on an account in the sandbox, with no settings but those it needs."""

import json

import pytest
from click.testing import CliRunner

from ops import cli, exits
from services.billing import catalogue
from tests.ops.conftest import SETTINGS
from tests.sandbox import stripe_process

STEPS = 2 * len([plan for plan in catalogue.load().plans if plan.lookup_key]) + 2


@pytest.fixture
def account(sandbox, monkeypatch, tmp_path):
    """The account's settings; the plans are those that we ship, of which the account holds nothing."""
    for name in (*SETTINGS, "AMQP_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CHATNESS_RUN", str(tmp_path))
    monkeypatch.setenv("STRIPE_API_KEY", stripe_process.KEY)
    monkeypatch.setenv("STRIPE_API_BASE", sandbox.address)
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example.com")
    return monkeypatch


def run(words=""):
    return CliRunner().invoke(cli.main, ["stripe", "setup", *words.split()])


@pytest.mark.usefixtures("account")
class TestSetup:
    def test_changes_nothing_until_it_is_told_to(self, client):
        looked = run()

        assert looked.exit_code == exits.OK
        assert [line.partition(":")[0] for line in looked.stdout.splitlines()] == STEPS * ["to do"]
        assert "test mode" in looked.stderr
        assert exits.NO_CHANGE in looked.stderr
        assert client.v1.prices.list({"lookup_keys": ["chatness_starter_monthly"]}).data == []

    def test_does_what_it_said_and_then_has_nothing_to_do(self, client):
        said = run().stdout.replace("to do:", "done:")

        done = run("--execute")
        again = run("--execute")

        assert [line for line in done.stdout.splitlines() if "whsec_" not in line] == said.splitlines()
        assert (again.exit_code, again.stdout) == (exits.OK, "")
        assert "as the catalogue wants it" in again.stderr
        assert client.v1.prices.list({"lookup_keys": ["chatness_starter_monthly"]}).data[0].unit_amount == 1900

    def test_prints_the_signing_secret_once_and_says_where_it_belongs(self):
        done = run("--execute")

        (secret,) = [line for line in done.stdout.splitlines() if "whsec_" in line]
        assert secret.startswith("STRIPE_WEBHOOK_SECRETS=whsec_")
        assert "set STRIPE_WEBHOOK_SECRETS to this" in done.stderr
        assert "whsec_" not in run("--execute").output

    def test_gives_a_document_for_each_step(self):
        looked = [json.loads(line) for line in run("--json").stdout.splitlines()]
        done = [json.loads(line) for line in run("--json --execute").stdout.splitlines()]

        assert [(one["step"], one["text"]) for one in looked] == [(one["step"], one["text"]) for one in done]
        assert {one["done"] for one in looked} | {one["done"] for one in done} == {False, True}
        assert done[0]["step"] == "create_product"
        assert done[-1]["STRIPE_WEBHOOK_SECRETS"].startswith("whsec_")


class TestWhatStandsInTheWay:
    def test_of_stripe_is_said_in_its_words(self, account):
        account.setenv("STRIPE_API_KEY", "rk_live_of_another")

        refused = run()

        assert (refused.exit_code, refused.stdout) == (exits.AWAY, "")
        assert "LIVE mode" in refused.stderr
        assert "Invalid API Key provided" in refused.stderr

    def test_of_a_step_leaves_the_steps_before_it_done(self, account, sandbox):
        fault = {"kind": "status", "status": 500, "method": "POST", "path": "/v1/webhook_endpoints"}
        sandbox.knob("faults", fault)

        failed = run("--execute")

        assert failed.exit_code == exits.AWAY
        assert len(failed.stdout.splitlines()) == STEPS - 1
        assert "answered with a failure" in failed.stderr
        assert [line.partition(" webhook")[0] for line in run().stdout.splitlines()] == ["to do: create a"]

    def test_is_said_soon_when_stripe_is_away(self, account):
        account.setenv("STRIPE_API_BASE", "http://127.0.0.1:1")

        away = run()

        assert (away.exit_code, away.stdout) == (exits.AWAY, "")
        assert "did not answer; try again" in away.stderr

    @pytest.mark.parametrize("name", ["PUBLIC_URL", "STRIPE_API_KEY"])
    def test_is_named_when_it_is_a_setting(self, account, name):
        account.delenv(name)

        assert run().exit_code == 78
