"""Another service of the company, with a user of its own, on the running stack: what it may, and what it may not."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from ops import rpc_doors
from shared import context, errors
from shared.rpc_client import BlockingClient
from tests.stack.stacks import Org, Running, eventually

NAME = "bot-runtime"
PROGRAM = Path(__file__).with_name("foreign_caller.py")


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture(scope="module")
def client(stack: Running) -> Iterator[BlockingClient]:
    with BlockingClient(stack.environment["AMQP_URI"]) as client:
        yield client


def ask(stack: Running, *calls: tuple[str, Any, dict[str, Any]]) -> list[dict[str, Any]]:
    """Method, arguments and actor of each call; what came of them, in a program that knows plain nameko only."""
    task = {
        "amqp_uri": stack.environment["FOREIGN_AMQP_URI"],
        "name": NAME,
        "calls": [
            {
                "method": method,
                "args": given if isinstance(given, list) else [],
                "kwargs": given if isinstance(given, dict) else {},
                "context": {"actor": actor},
            }
            for method, given, actor in calls
        ],
    }
    command = [sys.executable, "-W", "ignore", str(PROGRAM), json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)
    return outcomes


class TestAPlainNamekoClient:
    def test_admits_messages_until_the_limit_and_hears_that_the_bots_stopped(self, stack: Running, org: Org) -> None:
        actor = {"org_id": org.id}
        batches = [[f"msg_{number}" for number in part] for part in (range(1), range(120), range(120, 201))]
        connection = pika.BlockingConnection(pika.URLParameters(stack.environment["FOREIGN_AMQP_URI"]))
        channel = connection.channel()
        channel.queue_declare(f"{NAME}.heard", exclusive=True)
        channel.queue_bind(f"{NAME}.heard", "quota.events", "quota.BotsStopped")

        calls = [
            ("quota.admit_messages", {"items": [{"message_id": id, "bot_id": org.bot_id} for id in batch]}, actor)
            for batch in batches
        ]
        one, many, rest, usage, profile = ask(
            stack, *calls, ("quota.get_usage", {}, actor), ("accounts.get_org_profile", [org.id], {})
        )

        assert one["result"] == many["result"][:1]
        assert [answer["admitted"]["used"] for answer in many["result"]] == [*range(1, 121)]
        assert rest["result"][-1]["refused"]["code"] == "message_limit_reached"
        assert (usage["result"]["used"], usage["result"]["blocked"]) == (200, True)
        assert (profile["result"]["name"], profile["result"]["billing_email"]) == ("Engines", org.email)
        recorded = stack.events("quota", "quota.MessageRecorded", org.id)
        assert len(recorded) == 200
        assert json.loads(bytes(recorded[-1].meta))["actor"] == {"kind": "service", "id": NAME}
        heard: list[bytes] = []
        eventually(lambda: heard.append(channel.basic_get(f"{NAME}.heard", auto_ack=True)[2]) or heard[-1])
        assert json.loads(heard[-1])["data"]["org_id"] == org.id
        connection.close()

    def test_is_refused_exactly(self, stack: Running, org: Org) -> None:
        item = {"message_id": "msg_1", "bot_id": org.bot_id}
        owner = {"kind": "person", "id": "acc_1", "org_id": org.id, "role": "owner"}
        refusals = [
            (("quota.get_usage", {}, {}), "Invalid", "org_required"),
            (("quota.get_usage", {}, {"org_id": "org_nobodys"}), "Unavailable", "org_not_ready"),
            (("quota.get_usage", {"period": 7}, {"org_id": org.id}), "Invalid", "invalid_arguments"),
            (("quota.get_message", {"message_id": "a\0"}, {"org_id": org.id}), "Invalid", "invalid_arguments"),
            (("quota.get_message", {"message_id": "msg_x"}, {"org_id": org.id}), "NotFound", "unknown_message"),
            (("quota.admit_messages", {"items": [{**item, "actor": owner}]}, {}), "Invalid", "invalid_items"),
            (("accounts.get_org_profile", {"org_id": "org_nobodys"}, {}), "NotFound", "unknown_org"),
            (("accounts.get_profile", {"account_id": "acc_nobodys"}, {}), "NotFound", "unknown_account"),
            (("quota.get_usage", {}, owner), "Forbidden", "not_your_actor"),
            (("quota.get_usage", {}, {"id": "gateway", "org_id": org.id}), "Forbidden", "not_your_actor"),
        ]

        outcomes = ask(
            stack, *(call for call, _kind, _code in refusals), ("billing.cancel", {"command_id": "1"}, owner)
        )

        assert [(one["refused"], one["value"].partition(":")[0]) for one in outcomes[:-1]] == [
            (kind, code) for _call, kind, code in refusals
        ]
        assert outcomes[-1]["failed"] == "AccessRefused"
        assert "access to topic 'billing.cancel'" in outcomes[-1]["value"]


class TestTheColumnService:
    """Of the table "Who may do what", at each door, for a service that the broker lets through."""

    @pytest.mark.parametrize("door", rpc_doors.all_doors(), ids=lambda door: door.name)
    def test_is_kept_at(self, client: BlockingClient, org: Org, door: rpc_doors.Door) -> None:
        in_org, nowhere = (context.Actor(kind="service", id=NAME, org_id=org_id) for org_id in (org.id, ""))

        assert (refusal(client, door, in_org) == "not_allowed") is not door.is_for_others
        if door.rule.in_org and door.rule.service:
            assert refusal(client, door, nowhere) == "org_required"


def refusal(client: BlockingClient, door: rpc_doors.Door, actor: context.Actor) -> str:
    """The code of it, at a call with arguments of the right types that mean nothing; none: ''."""
    meaningless: dict[Any, Any] = {str: "x", int: 1}
    arguments = {
        argument.name: meaningless.get(argument.annotation, [])
        for argument in door.arguments
        if argument.default is inspect.Parameter.empty
    }
    try:
        with context.use(actor=actor):
            client.call(door.service, door.method, timeout=5, **arguments)
    except errors.ServiceError as refused:
        return refused.code
    return ""
