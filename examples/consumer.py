"""
A service of your own beside Chatness: hears that an org's bots have stopped, and asks whom to write to.

It knows nothing of our code: only pika, and plain nameko. It signs in as a RabbitMQ user of its own, which may hear
`quota.BotsStopped` and call `accounts.get_org_profile`, and nothing else; `chatness broker` makes such users, and the
sandbox has this one (`FOREIGN_AMQP_URI` in `.run/environment.json`).

    AMQP_URI=amqp://bot-runtime:…@127.0.0.1:5672/%2F python examples/consumer.py
"""

import json
import os
from typing import Any

import pika
from nameko.exceptions import RemoteError, RpcTimeout
from nameko.standalone.rpc import ClusterRpcProxy

NAME = "bot-runtime"
QUEUE = f"{NAME}.stopped"
# Durable, so that it fills while we are away; one consumer at a time, so that the order stays when two of us run.
LASTING = {"x-queue-type": "quorum", "x-single-active-consumer": True}


def main() -> None:
    """Ends where RabbitMQ ends the connection: started again, it gets again what it had not acknowledged."""
    uri = os.environ["AMQP_URI"]
    connection = pika.BlockingConnection(pika.URLParameters(uri))
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True, arguments=LASTING)
    channel.queue_bind(QUEUE, "quota.events", routing_key="quota.BotsStopped")
    channel.basic_qos(prefetch_count=1)
    print(f"{QUEUE} listens", flush=True)
    epoch, place = "", 0
    for delivery, _properties, body in channel.consume(QUEUE):
        event = json.loads(body)
        # They come in order, each at least once: what is not beyond our place is a repeat. A service with a database
        # keeps its place there, and moves it in the same transaction as what it does.
        is_repeat = event["epoch"] == epoch and event["position"] <= place
        if not is_repeat:
            tell(event["data"], ask_until_answered(connection, uri, event["data"]["org_id"]))
            epoch, place = event["epoch"], event["position"]
        channel.basic_ack(delivery.delivery_tag)


def ask_until_answered(connection: Any, uri: str, org_id: str) -> dict[str, Any] | None:
    """None: there is no such org any more."""
    while True:
        try:
            return get_org_profile(uri, org_id)
        except RemoteError as error:
            if error.exc_type == "NotFound":
                return None
            if error.exc_type != "Unavailable":
                raise  # a bug, here or there: nothing that goes away by asking again
        except RpcTimeout:
            pass
        connection.sleep(1)  # and not time.sleep: RabbitMQ wants to hear our heart meanwhile


def get_org_profile(uri: str, org_id: str) -> dict[str, Any]:
    """A connection for each call: this happens seldom. Calls leave by an exchange that only we may write to."""
    config = {"AMQP_URI": uri, "rpc_exchange": f"nameko-rpc.{NAME}"}
    with ClusterRpcProxy(config, timeout=5) as cluster:
        profile: dict[str, Any] = cluster.accounts.get_org_profile(org_id=org_id)
        return profile


def tell(fact: dict[str, Any], profile: dict[str, Any] | None) -> None:
    """What your service does; events carry ids only, so the address comes from the answer."""
    if profile is not None:
        heard = {"org": profile["name"], "write_to": profile["billing_email"], "why": fact["reason"]}
        print(json.dumps({**heard, "period": fact["period"]}), flush=True)


if __name__ == "__main__":
    main()
