"""docker-compose.yml is valid, and gives each process what the code asks of it. No Docker engine is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ops import settings
from sandbox import letters
from shared import config, serve
from shared import worker as worker_module
from tests.deployment import files

pytestmark = pytest.mark.pure

SERVICES: dict[str, Any] = files.compose()["services"]
OURS = {name: one for name, one in SERVICES.items() if "build" in one}
PROCESSES = {
    name: tuple(one["command"]) for name, one in OURS.items() if "entrypoint" not in one and "profiles" not in one
}
SANDBOX = {name: one for name, one in OURS.items() if one.get("profiles") == ["sandbox"]}
OPTIONAL = {
    *("CHATNESS_SANDBOX", "CHATNESS_CLOCK_FILE", "CHATNESS_SECRET_MODE", "STRIPE_API_BASE"),
    "CHATNESS_ERASED_REGISTER",
    *("GATEWAY_ADDRESS", "MAILROOM_ADDRESS", "MAILROOM_AUTHSERV_ID", "MAILROOM_MAIL_SERVERS"),
}


def check(path: Path) -> int:
    return files.tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path).returncode


class TestTheFile:
    def test_is_valid_compose(self):
        assert check(files.COMPOSE) == 0

    def test_would_be_refused_with_a_mistyped_word(self, tmp_path):
        broken = tmp_path / "docker-compose.yml"
        broken.write_text(files.COMPOSE.read_text().replace("healthcheck:", "healtcheck:", 1))

        assert check(broken) == 1

    def test_has_every_process_and_each_once(self):
        assert sorted(PROCESSES.values()) == sorted(files.PROCESSES)

    def test_brings_what_the_sandbox_has_instead_of_the_world(self):
        assert {one["entrypoint"][2] for one in SANDBOX.values()} == {"sandbox.stripe", "sandbox.mail"}

    def test_opens_nothing_but_the_gateway_the_mailroom_and_the_checkout_page_and_those_to_this_host(self):
        opened = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}

        assert set(opened) == {"gateway", "mailroom", "stripe"}
        published = [files.filled_in(port, {}) for ports in opened.values() for port in ports]
        assert [port for port in published if not port.startswith("127.0.0.1:")] == []

    def test_mounts_files_that_are_there(self):
        mounts = [mount.split(":")[0] for one in SERVICES.values() for mount in one.get("volumes", [])]
        mounts += [one["file"] for one in files.compose()["configs"].values()]

        paths = [mount for mount in mounts if mount.startswith("./")]
        assert paths
        assert [path for path in paths if not (files.ROOT / path).is_file()] == []


class TestEachProcess:
    @pytest.mark.parametrize("name, words", PROCESSES.items())
    def test_is_given_what_it_needs_and_nothing_it_does_not_know(self, name: str, words: Sequence[str]):
        given = set(SERVICES[name]["environment"])

        assert files.required(words) - given == set()
        assert given - files.known(words) == set()

    @pytest.mark.parametrize("name, words", PROCESSES.items())
    def test_accepts_the_values_of_the_example(self, name: str, words: Sequence[str]):
        environment = files.compose_environment(name, files.dotenv())

        if words == ("migrate",):
            assert all(value.startswith("postgresql+psycopg2://") for value in environment.values() if "://" in value)
            return
        assert settings.load(environment).sandbox
        for kind in files.settings_classes(words):
            config.load(kind, environment)

    @pytest.mark.parametrize("name, words", [item for item in PROCESSES.items() if item[1] != ("migrate",)])
    def test_refuses_the_examples_keys_outside_the_sandbox(self, name: str, words: Sequence[str]):
        environment = files.compose_environment(name, {**files.dotenv(), "CHATNESS_SANDBOX": ""})

        for kind in files.settings_classes(words):
            with pytest.raises(config.BadConfiguration, match="is the placeholder that everybody knows"):
                config.load(kind, environment)

    @pytest.mark.parametrize("name", OURS)
    def test_is_stopped_no_sooner_than_it_ends_by_itself(self, name: str):
        grace = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))

        assert grace > max(serve.STOP_SECONDS, worker_module.STOP_SECONDS)

    @pytest.mark.parametrize("name", OURS)
    def test_may_do_little(self, name: str):
        one = SERVICES[name]

        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["deploy"]["resources"]["limits"]["memory"]

    @pytest.mark.parametrize("name", [name for name in PROCESSES if name != "migrate"])
    def test_waits_for_the_migration_and_is_asked_on_its_own_port_whether_it_is_ready(self, name: str):
        one = SERVICES[name]

        assert one["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert one["restart"] == "unless-stopped"
        assert f":{one['environment']['CHATNESS_HEALTH_PORT']}/readyz" in one["healthcheck"]["test"][-1]

    def test_the_gateway_listens_where_it_is_published(self):
        gateway = SERVICES["gateway"]

        assert gateway["environment"]["CHATNESS_HOST"] == "0.0.0.0"  # noqa: S104
        assert gateway["ports"][0].endswith(f":{gateway['environment']['CHATNESS_PORT']}")

    def test_the_mailroom_listens_where_it_is_published(self):
        mailroom = SERVICES["mailroom"]

        assert mailroom["environment"]["MAILROOM_HOST"] == "0.0.0.0"  # noqa: S104
        assert mailroom["ports"][0].endswith(f":{mailroom['environment']['MAILROOM_PORT']}")

    def test_the_sandboxs_mail_server_is_the_one_whose_word_is_believed(self):
        assert files.dotenv()["MAILROOM_AUTHSERV_ID"] == letters.MAIL_SERVER

    def test_the_command_line_is_given_everything(self):
        needed = {name for words in files.PROCESSES for name in files.required(words)}

        assert needed - set(SERVICES["chatness"]["environment"]) == set()

    def test_the_command_line_starts_whatever_is_down_and_asks_the_gateway_itself(self):
        tools, gateway = SERVICES["chatness"], SERVICES["gateway"]

        assert (tools["depends_on"], tools.get("network_mode")) == ({}, None)
        port = gateway["environment"]["CHATNESS_PORT"]
        assert tools["environment"]["CHATNESS_GATEWAY_URL"] == f"http://gateway:{port}"


class TestTheExample:
    def test_is_all_that_the_file_asks_for(self):
        asked = {found[0] for found in files.VARIABLE.findall(files.COMPOSE.read_text())}

        assert set(files.dotenv()) - asked == set()
        for name in SERVICES:
            files.compose_environment(name, files.dotenv())

    @pytest.mark.parametrize("name", files.dotenv())
    def test_is_asked_for_by_name_where_nothing_works_without_it(self, name: str):
        wanting = {key: value for key, value in files.dotenv().items() if key != name}
        try:
            for service in SERVICES:
                files.compose_environment(service, wanting)
            complaint = ""
        except LookupError as error:
            complaint = str(error)

        assert complaint.startswith(f"{name} is not set: put ") is not (name in OPTIONAL)

    def test_shows_the_sandbox_where_it_is(self):
        stripe, mail = SERVICES["stripe"], SERVICES["mail"]

        assert f"--port={files.dotenv()['STRIPE_API_BASE'].rpartition(':')[2]}" in stripe["command"]
        assert f"--port={files.dotenv()['SMTP_URL'].rpartition(':')[2]}" in mail["command"]
        assert f"--clock-file={files.dotenv()['CHATNESS_CLOCK_FILE']}" in stripe["command"]

    def test_sends_mail_where_the_command_line_looks_for_it(self):
        (home,) = [line for line in (files.ROOT / "Dockerfile").read_text().splitlines() if "CHATNESS_RUN" in line]

        assert f"--folder={home.split('=')[1]}/mail" in SERVICES["mail"]["command"]
