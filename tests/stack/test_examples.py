"""The programs in `examples/` do what they say, against the running stack."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import pytest

from examples.client import Chatness, Refused
from tests.faults.proxy import Proxy
from tests.stack import crowd
from tests.stack.stacks import Org, Running

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture
def client(org: Org) -> Chatness:
    return Chatness(org.stack.url, org.program.token)


def run(program: str, *words: str, typed: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(EXAMPLES / program), *words],
        env={**os.environ, **environment},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def use_up(org: Org, *, all_but: int) -> None:
    """Send the month's messages, at once."""
    headers = {"Authorization": f"Bearer {org.program.token}"}
    bodies = [
        {"bot_id": org.bot_id, "id": f"msg_used_{number}"} for number in range(org.usage()["remaining"] - all_but)
    ]
    posts = [
        crowd.Post(url=f"{org.stack.url}/v1/messages", body=json.dumps(body).encode(), headers=headers)
        for body in bodies
    ]
    assert {answer.status for answer in crowd.ask_at_once(posts)} <= {201}


class TestTheClient:
    def test_counts_a_message_once_and_gives_it_back_once(self, org: Org, client: Chatness) -> None:
        answers = [client.admit(org.bot_id, "msg_1") for _ in range(2)]
        used = org.usage()["used"]
        for _ in range(2):
            client.refund("msg_1")

        assert answers[0] == answers[1]
        assert org.usage()["used"] == used - 1

    def test_says_why_a_message_must_not_be_sent(self, org: Org, client: Chatness) -> None:
        org.owner.ask("POST", f"/v1/bots/{org.bot_id}/pause")
        with pytest.raises(Refused) as refused:
            client.admit(org.bot_id, "msg_paused")
        org.owner.ask("POST", f"/v1/bots/{org.bot_id}/resume")

        assert (refused.value.problem["status"], refused.value.problem["code"]) == (409, "bot_paused")

    def test_asks_again_with_the_same_id_where_the_answer_was_lost(self, org: Org, client: Chatness) -> None:
        proxy = Proxy(urlsplit(org.stack.url).port or 0)
        proxy.cut_at(b"msg_lost", passes=True)
        client.url = f"http://127.0.0.1:{proxy.port}"
        used = org.usage()["used"]

        admission = client.admit(org.bot_id, "msg_lost")

        proxy.close()
        assert (proxy.cuts, admission["used"]) == (1, used + 1)
        assert org.usage()["used"] == used + 1

    def test_asks_again_after_a_503_until_the_part_is_back(self, stack: Running, org: Org, client: Chatness) -> None:
        statuses: list[int] = []
        client.session.hooks["response"].append(lambda answer, **_: statuses.append(answer.status_code))
        client.admit(org.bot_id, "msg_before")
        quotas = [stack.processes[name] for name in ("services", "quota 2")]
        back = threading.Timer(2.0, lambda: [process.resume() for process in quotas])
        for process in quotas:
            process.pause()
        back.start()

        admission = client.admit(org.bot_id, "msg_during")

        back.join()
        assert statuses == [201, 503, 201]
        assert org.usage()["used"] == admission["used"]

    def test_as_a_program_sends_until_the_month_is_used_up(self, org: Org) -> None:
        left = 3
        use_up(org, all_but=left)

        ended = run(
            *("client.py", org.bot_id),
            typed="\n" + "hello\n" * (left + 1),
            CHATNESS=org.stack.url,
            CHATNESS_SECRET=org.program.token,
        )

        said = ended.stdout.splitlines()
        assert said[0] == "not sent, and given back: there is nothing in it"
        assert (len(said[1:]), said[-1]) == (left, "sent; 0 are left")
        assert ended.stderr == f"no message is left until {org.usage()['resets_at']}\n"
        assert ended.returncode == 1


@pytest.mark.timeout(60)
class TestTheConsumer:
    def test_hears_in_order_whose_bots_stopped_also_while_it_was_away_and_asks_whom_to_write_to(
        self, stack: Running
    ) -> None:
        orgs = [stack.sign_up() for _ in range(2)]
        with consumer(stack):
            pass
        use_up(orgs[0], all_but=0)

        with consumer(stack) as program:
            use_up(orgs[1], all_but=0)
            heard = [json.loads(line) for line in lines_until(program, orgs[1].email)]

        assert [one for one in heard if one["write_to"] in {org.email for org in orgs}] == [
            {"org": "Engines", "write_to": org.email, "why": "limit", "period": org.usage()["period"]} for org in orgs
        ]


def lines_until(program: TextIO, word: str) -> Iterator[str]:
    """The lines that it says, to the first with this word."""
    for line in program:
        yield line
        if word in line:
            return


@contextmanager
def consumer(stack: Running) -> Iterator[TextIO]:
    """What the consumer says once it listens."""
    environment = {**os.environ, "AMQP_URI": stack.environment["FOREIGN_AMQP_URI"]}
    command = [sys.executable, str(EXAMPLES / "consumer.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "bot-runtime.stopped listens\n"
            yield process.stdout
        finally:
            process.terminate()
