"""/metrics of every process, after traffic of which every figure is known."""

import re
from importlib import metadata

import pytest

from ops import processes, rpc_doors
from tests.stack import crowd, figures
from tests.stack.stacks import Org, Process, Running, eventually
from tests.stack.test_admission import message

ID = re.compile(r"[a-z]{3}_[0-9a-z]{20,}|@|whsec|sk_")
ADMITTED, REPEATED = 20, 3


@pytest.fixture(scope="module")
def ours(stack: Running) -> dict[str, Process]:
    return {name: process for name, process in stack.processes.items() if name not in ("mail", "stripe")}


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


def test_every_message_is_counted_once_with_what_quota_decided(
    stack: Running, second_url: str, ours: dict[str, Process], org: Org
) -> None:
    before = figures.read(ours.values())

    ids = [f"msg_{number}" for number in range(ADMITTED)]
    crowd.ask_at_once(
        [message(org, id, url) for id, url in zip(ids, [stack.url, second_url] * ADMITTED, strict=False)]
    )
    for id in ids[:REPEATED]:
        assert org.send(id).status_code == 201
    assert org.program.ask("POST", "/v1/messages", {"bot_id": "bot_nobody"}).status_code == 404
    after = figures.read(ours.values())

    counted = {
        outcome: after.since(before, "chatness_admissions_total", outcome=outcome)
        for outcome in ("admitted", "repeated", "unknown_bot")
    }
    assert counted == {"admitted": ADMITTED, "repeated": REPEATED, "unknown_bot": 1}
    everything = ADMITTED + REPEATED + 1
    assert after.since(before, "chatness_admission_batch_messages_sum") == everything
    answered = {"route": "/v1/messages", "method": "POST"}
    assert after.since(before, "chatness_http_requests_total", **answered, status="201") == ADMITTED + REPEATED
    assert after.since(before, "chatness_http_requests_total", **answered, status="404") == 1
    assert after.since(before, "chatness_http_request_duration_seconds_count", **answered) == everything
    assert after.of("chatness_http_requests_in_flight") == 0
    batches = after.since(before, "chatness_rpc_calls_total", method="quota.admit_messages", outcome="answered")
    assert 0 < batches <= everything
    assert (
        after.since(before, "chatness_rpc_served_total", method="quota.admit_messages", outcome="answered") == batches
    )


def test_a_path_of_a_strangers_making_makes_no_series(stack: Running, ours: dict[str, Process], org: Org) -> None:
    before = figures.read(ours.values())

    assert org.owner.ask("GET", "/v1/nothing/canary-1").status_code == 404
    assert org.owner.ask("GET", f"/v1/bots/{org.bot_id}").status_code == 200
    after = figures.read(ours.values())

    assert after.since(before, "chatness_http_requests_total", route="(none)", method="GET", status="404") == 1
    assert after.since(before, "chatness_http_requests_total", route="/v1/bots/<bot_id>", status="200") == 1
    assert [value for value in after.labels() if "canary" in value or ID.search(value)] == []


def test_a_worker_shows_how_its_services_stand(stack: Running, ours: dict[str, Process], org: Org) -> None:
    worker = ours["worker"]

    def caught_up() -> bool:
        found = figures.read([worker])
        (head,) = stack.rows("billing", "SELECT position FROM log_head")
        return (
            found.of("chatness_log_position", service="billing") == head.position
            and found.of("chatness_inbox_position", service="quota", producer="billing") == head.position
        )

    eventually(caught_up, "it does not show the place that it has reached", seconds=20)
    found = figures.read([worker])
    assert found.of("chatness_figures_up") == 4 + 2 * 7  # databases; seven who are followed, and dead letters
    assert found.of("chatness_consumer_lag_events") == found.of("chatness_consumer_diverged") == 0
    assert ("chatness_dead_letters", frozenset({("service", "quota"), ("producer", "billing")})) in found.samples
    assert found.of("chatness_handler_seconds_count", service="quota", event="billing.SubscriptionChanged") > 0
    assert found.of("chatness_events_published_total", service="billing") > 0
    assert found.of("chatness_job_seconds_count", kind="accounts.mail") > 0
    assert found.of("chatness_jobs", service="accounts", kind="accounts.mail", state="failed") == 0


def test_every_process_says_what_it_is_and_that_it_is_ready(ours: dict[str, Process]) -> None:
    release = metadata.version("chatness")
    for process in ours.values():
        found = figures.read([process])

        assert found.of("chatness_build_info", release=release) == 1
        parts = [value for (name, _labels), value in found.samples.items() if name == "chatness_ready"]
        assert parts
        assert set(parts) == {1}
        assert found.names() >= {"process_resident_memory_bytes", "python_gc_collections_total"}
        assert figures.ask(process, "/livez").json() == {"live": True}


def test_what_had_no_bug_yet_is_shown_with_0_so_that_the_first_is_an_increase(ours: dict[str, Process]) -> None:
    served, worked = figures.read([ours["services"]]), figures.read([ours["worker"]])

    doors = {door.name for door in rpc_doors.all_doors()}
    assert doors - with_bugs(served, "chatness_rpc_served_total", "method") == set()
    works = {f"{service} {channel}" for service in processes.SERVICES for channel in ("outbox", "jobs")}
    works |= {"quota.from.billing", "quota parked"}
    assert works - with_bugs(worked, "chatness_work_failures_total", "work") == set()


def with_bugs(found: figures.Figures, name: str, label: str) -> set[str]:
    """Whose bugs are counted, be it 0."""
    labels = [dict(labels) for sample, labels in found.samples if sample == name]
    return {one[label] for one in labels if "bug" in (one.get("outcome"), one.get("reason"))}
