"""The hot path over HTTP: exact whatever the concurrency, through one gateway or two, with two quota processes."""

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack import crowd, figures
from tests.stack.stacks import Org, Running

ASKED = 1000
LEFT = 10
WAVES = 15


def message(org: Org, message_id: str, url: str) -> crowd.Post:
    body = json.dumps({"bot_id": org.bot_id, "id": message_id}).encode()
    return crowd.Post(url=f"{url}/v1/messages", body=body, headers={"Authorization": f"Bearer {org.program.token}"})


def use_up(org: Org, *, leaving: int) -> None:
    used = crowd.ask_until_answered(
        [message(org, f"msg_before_{number}", org.stack.url) for number in range(org.usage()["remaining"] - leaving)]
    )
    assert {answer.status for answer in used} == {201}


def assert_exactly_the_rest_is_admitted(org: Org, urls: Sequence[str]) -> None:
    use_up(org, leaving=LEFT)

    answers = crowd.ask_until_answered(
        [message(org, f"msg_{number}", urls[number % len(urls)]) for number in range(ASKED)]
    )

    assert Counter(answer.status for answer in answers) == {201: LEFT, 429: ASKED - LEFT}
    admitted = [answer.body for answer in answers if answer.status == 201]
    assert sorted(body["used"] for body in admitted) == list(range(191, 201))
    refused = [answer.body for answer in answers if answer.status == 429]
    assert {body["code"] for body in refused} == {"message_limit_reached"}
    assert {body["resets_at"] for body in refused} == {org.usage()["resets_at"]}
    recorded = [
        json.loads(bytes(event.data))["message_id"]
        for event in org.stack.events("quota", "quota.MessageRecorded", org.id)
    ]
    assert len(recorded) == len(set(recorded)) == 200
    assert {body["id"] for body in admitted} <= set(recorded)
    assert (org.usage()["used"], org.usage()["remaining"], org.usage()["blocked"]) == (200, 0, True)


class TestAThousandMessagesAtOnceWithTenLeft:
    def test_are_admitted_ten_times_through_one_gateway(self, stack: Running) -> None:
        assert_exactly_the_rest_is_admitted(stack.sign_up(), [stack.url])

    def test_are_admitted_ten_times_through_two_gateways(self, stack: Running, second_url: str) -> None:
        assert_exactly_the_rest_is_admitted(stack.sign_up(), [stack.url, second_url])


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


class TestTheSameMessage:
    def test_asked_by_many_at_once_is_counted_once_and_answered_the_same(self, org: Org, second_url: str) -> None:
        used_before = org.usage()["used"]

        answers = crowd.ask_until_answered(
            [message(org, "msg_same", url) for url in [org.stack.url, second_url] * 20]
        )

        assert {answer.status for answer in answers} == {201}
        assert {json.dumps(answer.body, sort_keys=True) for answer in answers} == {
            json.dumps(answers[0].body, sort_keys=True)
        }
        assert org.usage()["used"] == used_before + 1

    def test_asked_with_another_bot_is_refused(self, org: Org) -> None:
        org.send("msg_of_one_bot")

        other = org.program.ask("POST", "/v1/messages", {"bot_id": "bot_other", "id": "msg_of_one_bot"})

        assert (other.status_code, other.json()["code"]) == (409, "message_id_reused")

    def test_refused_for_want_of_messages_is_decided_anew_when_there_are_some(self, stack: Running) -> None:
        org = stack.sign_up()
        use_up(org, leaving=0)
        refused = org.send("msg_again")

        org.subscribe("starter", limit=2000)

        assert refused.status_code == 429
        assert org.send("msg_again").status_code == 201


class TestMessagesOfManyOrgs:
    def test_at_once_are_counted_each_for_its_own(self, stack: Running, second_url: str) -> None:
        with ThreadPoolExecutor(4) as threads:
            orgs = list(threads.map(lambda _number: stack.sign_up(), range(4)))

        answers = crowd.ask_until_answered(
            [
                message(org, f"msg_{number}", url)
                for number in range(15)
                for org in orgs
                for url in (stack.url, second_url)
            ]
        )

        assert {answer.status for answer in answers} == {201}
        assert [org.usage()["used"] for org in orgs] == [15] * 4


class TestTwoQuotaProcesses:
    def test_both_take_work_and_count_together_as_one(self, stack: Running, second_url: str) -> None:
        org, urls = stack.sign_up(), [stack.url, second_url]
        quotas = {name: stack.processes[name] for name in ("services", "quota 2")}
        before = {name: figures.read([process]) for name, process in quotas.items()}

        answers = [
            answer
            for wave in range(WAVES)
            for answer in crowd.ask_at_once([message(org, f"msg_{wave}_{i}", urls[i % 2]) for i in range(10)])
        ]

        admitted = {
            name: figures.read([process]).since(before[name], "chatness_admissions_total", outcome="admitted")
            for name, process in quotas.items()
        }
        assert {answer.status for answer in answers} == {201}
        assert min(admitted.values()) > 0, admitted
        assert sum(admitted.values()) == len(answers)
        assert sorted(answer.body["used"] for answer in answers) == list(range(1, len(answers) + 1))
        assert org.usage()["used"] == len(answers)
