"""The manifests of k8s/ are valid, listed, and give each process what the code asks of it. No cluster is needed."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from shared import serve
from shared import worker as worker_module
from tests.deployment import files

pytestmark = pytest.mark.pure

BASE = files.K8S / "base"
VERSION = "1.32"
KUSTOMIZATIONS = sorted(files.K8S.rglob("kustomization.yaml"))


@cache
def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def manifests() -> dict[str, dict[str, Any]]:
    """All of them, by file, kind and name."""
    return {
        f"{path.relative_to(files.K8S)}:{document['kind']}-{document['metadata']['name']}": document
        for path in sorted(files.K8S.rglob("*.yaml"))
        if path not in KUSTOMIZATIONS
        for document in documents(path)
    }


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [one for one in manifests().values() if one["kind"] in kinds]


def named(*kinds: str) -> list[Any]:
    return [pytest.param(one, id=one["metadata"]["name"]) for one in of_kind(*kinds)]


def template(workload: dict[str, Any]) -> dict[str, Any]:
    spec = workload["spec"]
    found: dict[str, Any] = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]
    return found


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = template(workload)["spec"]
    return spec


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (one,) = pod(workload)["containers"]
    return dict(one)


def literals(kustomization: Path) -> dict[str, str]:
    (document,) = documents(kustomization)
    pairs = [pair for one in document.get("configMapGenerator", []) for pair in one["literals"]]
    return dict(pair.split("=", 1) for pair in pairs)


def given(workload: dict[str, Any]) -> dict[str, str]:
    """The settings of its container: values, and the Secrets they come from as `Secret/key`."""
    one = container(workload)
    told = literals(BASE / "kustomization.yaml") if "envFrom" in one else {}
    for variable in one["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        told[variable["name"]] = f"{reference['name']}/{reference['key']}" if reference else variable["value"]
    return told


class TestTheFiles:
    @pytest.mark.parametrize("document", manifests().values(), ids=manifests())
    def test_are_valid(self, document):
        kubernetes_validate.validate(document, VERSION, strict=True)

    def test_would_be_refused_with_a_mistyped_word(self):
        broken = copy.deepcopy(of_kind("Deployment")[0])
        pod(broken)["containers"][0]["readinessProb"] = pod(broken)["containers"][0].pop("readinessProbe")

        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, VERSION, strict=True)

    @pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
    def test_are_all_listed_and_what_is_listed_is_there(self, path):
        (document,) = documents(path)
        listed = {*document["resources"], *(patch["path"] for patch in document.get("patches", []))}

        assert {one for one in listed if not (path.parent / one).exists()} == set()
        assert {one.name for one in path.parent.glob("*.yaml")} - {path.name} == listed - {"../../base"}

    def test_hold_no_secret(self):
        assert of_kind("Secret") == []

    def test_have_every_process_and_each_once(self):
        assert sorted(tuple(container(one)["args"]) for one in of_kind("Deployment", "Job")) == sorted(
            files.PROCESSES
        )


class TestEachProcess:
    @pytest.mark.parametrize("workload", named("Deployment", "Job"))
    def test_is_given_what_it_needs(self, workload):
        assert files.required(container(workload)["args"]) - set(given(workload)) == set()

    @pytest.mark.parametrize("workload", named("Deployment", "Job"))
    def test_is_given_no_secret_it_does_not_know(self, workload):
        referred = {variable["name"] for variable in container(workload)["env"]}

        assert referred - files.known(container(workload)["args"]) == set()

    @pytest.mark.parametrize("workload", named("Deployment", "Job"))
    def test_takes_secrets_by_reference_only(self, workload):
        words = container(workload)["args"]

        assert [
            name
            for name, value in given(workload).items()
            if not value or (name in files.secret(words) and not value.startswith("chatness"))
        ] == []

    @pytest.mark.parametrize("workload", named("Deployment", "Job", "CronJob"))
    def test_may_do_little(self, workload):
        assert pod(workload)["automountServiceAccountToken"] is False
        assert pod(workload)["securityContext"]["runAsNonRoot"] is True
        assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container(workload)["resources"]["requests"]) == {"cpu", "memory"}
        assert container(workload)["resources"]["limits"]["memory"]

    @pytest.mark.parametrize("workload", named("Deployment", "Job", "CronJob"))
    def test_runs_as_the_user_of_the_image(self, workload):
        context = pod(workload)["securityContext"]

        assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in (files.ROOT / "Dockerfile").read_text()

    @pytest.mark.parametrize("workload", named("Deployment"))
    def test_is_stopped_no_sooner_than_it_ends_by_itself(self, workload):
        waits = container(workload).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
        ends = max(serve.STOP_SECONDS, worker_module.STOP_SECONDS) + float(waits[1])

        assert pod(workload)["terminationGracePeriodSeconds"] > ends

    @pytest.mark.parametrize("workload", named("Deployment"))
    def test_is_asked_on_the_port_on_which_it_says_how_it_is(self, workload):
        ports = {port["name"]: str(port["containerPort"]) for port in container(workload)["ports"]}
        asked = {
            name: container(workload)[name]["httpGet"] for name in ("livenessProbe", "readinessProbe", "startupProbe")
        }

        assert ports["health"] == given(workload)["CHATNESS_HEALTH_PORT"]
        assert {one["port"] for one in asked.values()} == {"health"}
        ready = "/readyz?part=running" if workload["metadata"]["name"] == "gateway" else "/readyz"
        assert [one["path"] for one in asked.values()] == ["/livez", ready, "/livez"]

    @pytest.mark.parametrize("workload", named("Deployment"))
    def test_is_replaced_one_by_one_and_never_missing(self, workload):
        name = workload["metadata"]["name"]
        (budget,) = [one for one in of_kind("PodDisruptionBudget") if one["metadata"]["name"] == name]

        assert workload["spec"]["replicas"] >= 2
        assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert budget["spec"]["selector"] == workload["spec"]["selector"]
        assert workload["spec"]["selector"]["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]

    @pytest.mark.parametrize("name, setting", [("gateway", "CHATNESS_PORT"), ("mailroom", "MAILROOM_PORT")])
    def test_is_led_to_at_its_own_port_by_its_service(self, name, setting):
        (workload,) = [one for one in of_kind("Deployment") if one["metadata"]["name"] == name]
        (service,) = [one for one in of_kind("Service") if one["metadata"]["name"] == name]
        ports = {port["name"]: str(port["containerPort"]) for port in container(workload)["ports"]}

        assert service["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"]
        assert ports[service["spec"]["ports"][0]["targetPort"]] == given(workload)[setting]

    def test_has_a_service_only_if_somebody_calls_it(self):
        assert {one["metadata"]["name"] for one in of_kind("Service")} == {"gateway", "mailroom"}


class TestTheToolbox:
    @pytest.fixture
    def toolbox(self) -> dict[str, Any]:
        (one,) = of_kind("CronJob")
        return one

    def test_is_given_what_any_process_is(self, toolbox):
        secret = {name for words in files.PROCESSES for name in files.secret(words)}
        needed = {name for words in files.PROCESSES for name in files.required(words)}
        told = given(toolbox)

        assert needed - set(told) == set()
        assert {name for name in secret & set(told) if not told[name].startswith("chatness")} == set()
        assert set(literals(BASE / "kustomization.yaml")) < set(told)

    def test_asks_the_gateway_by_its_service(self, toolbox):
        (service,) = [one for one in of_kind("Service") if one["metadata"]["name"] == "gateway"]
        (port,) = service["spec"]["ports"]

        assert (service["metadata"]["name"], port["port"]) == ("gateway", 80)
        assert given(toolbox)["CHATNESS_GATEWAY_URL"] == "http://gateway"

    def test_begins_when_somebody_asks_for_it_and_ends_by_itself(self, toolbox):
        job = toolbox["spec"]["jobTemplate"]["spec"]

        assert toolbox["spec"]["suspend"] is True
        assert container(toolbox)["command"] == ["sleep", str(job["activeDeadlineSeconds"])]
        assert job["ttlSecondsAfterFinished"] > 0


class TestWhatEveryProcessIsTold:
    @pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
    def test_is_known_to_some_process_and_can_be_read(self, path):
        told = literals(path)
        kinds = {kind for words in files.PROCESSES if words != ("migrate",) for kind in files.settings_classes(words)}
        found = {field.metadata["name"]: field.metadata["parse"] for field in files.fields(*kinds)}

        assert set(told) - set(found) == set()
        for name, value in told.items():
            found[name](value)

    def test_lets_the_kubelet_in(self):
        assert literals(BASE / "kustomization.yaml")["CHATNESS_HEALTH_HOST"] == "0.0.0.0"  # noqa: S104

    def test_the_page_names_every_key_of_every_secret(self):
        page = (BASE / "README.md").read_text()
        needed = {
            value
            for one in of_kind("Deployment", "Job", "CronJob")
            for value in given(one).values()
            if value.startswith("chatness")
        }

        assert {
            one for one in needed if f"`{one.split('/')[0]}`" not in page or f"`{one.split('/')[1]}`" not in page
        } == set()


class TestTheNetwork:
    def test_is_closed_to_every_process_before_it_is_opened_to_some(self):
        (nothing,) = [one for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == "nothing"]
        labels = [template(one)["metadata"]["labels"] for one in of_kind("Deployment", "Job", "CronJob")]

        assert set(nothing["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        assert [
            one for one in labels if not nothing["spec"]["podSelector"]["matchLabels"].items() <= one.items()
        ] == []
