"""A thousand listeners at one gateway: all hear what concerns them, others are served, and it costs little."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops import client
from sandbox import ports
from tests.faults import report
from tests.stack import figures
from tests.stack.listeners import Listener
from tests.stack.stacks import CHATNESS, Process, Running

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

ORGS = 10
OF_EACH = 100
SILENT_SECONDS = 40.0


def cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(process: Process) -> float:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_thousand_listen_at_one_gateway(stack: Running) -> None:
    port = str(ports.free())
    settings = {"CHATNESS_PORT": port, "CHATNESS_CONNECTIONS": "2000"}
    gateway = stack.add("gateway for a thousand", *CHATNESS, "serve", "gateway", **settings)
    gateway.await_ready()
    orgs, url, megabytes = (
        [stack.sign_up() for _ in range(ORGS)],
        f"http://127.0.0.1:{port}",
        resident_megabytes(gateway),
    )
    with ExitStack() as streams:
        listeners = {org.id: [Listener(url, org.program.token) for _ in range(OF_EACH)] for org in orgs}
        everybody = [listener for group in listeners.values() for listener in group]
        for listener in everybody:
            streams.callback(listener.close)
        assert {listener.status() for listener in everybody} == {200}
        assert {listener.usage()["used"] for listener in everybody} == {0}
        megabytes = resident_megabytes(gateway) - megabytes

        before, cpu, began = figures.read([gateway]), cpu_seconds(gateway), time.monotonic()
        time.sleep(SILENT_SECONDS)  # what is measured is what it costs while nothing happens
        seconds = time.monotonic() - began
        looks = figures.read([gateway]).since(before, "chatness_rpc_calls_total", method="quota.watch_usage")
        share = (cpu_seconds(gateway) - cpu) / seconds

        began = time.monotonic()
        with ThreadPoolExecutor(ORGS) as crowd:
            sent = crowd.map(
                lambda org: client.Api(url, org.program.token).ask("POST", "/v1/messages", {"bot_id": org.bot_id}),
                orgs,
            )
            assert {answer.status_code for answer in sent} == {201}
        assert {listener.usage()["used"] for listener in everybody} == {1}
        told_seconds = time.monotonic() - began

    report.add(
        "a thousand listeners",
        looks_a_second=round(looks / seconds, 2),
        cpu_share_while_silent=round(share, 3),
        kilobytes_each=round(1000 * megabytes / len(everybody)),
        all_told_after_seconds=round(told_seconds, 2),
    )
    assert looks <= seconds + 2
    assert share < 0.25
    assert told_seconds < 5
