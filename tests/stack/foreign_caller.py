"""
Another service of the company, which has plain nameko and nothing of ours: makes calls, prints what came of each.

    python foreign_caller.py '{"amqp_uri": …, "name": …, "calls": [{"context", "method", "args", "kwargs"}, …]}'
"""

import json
import sys
from typing import Any

from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcProxy


def outcome(config: dict[str, str], call: dict[str, Any]) -> dict[str, Any]:
    service, method = call["method"].split(".")
    with ClusterRpcProxy(config, context_data=call["context"], timeout=5) as cluster:
        try:
            return {"result": getattr(cluster[service], method)(*call["args"], **call["kwargs"])}
        except RemoteError as error:
            return {"refused": error.exc_type, "value": error.value}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
            return {"failed": type(error).__name__, "value": str(error)}


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    config = {"AMQP_URI": task["amqp_uri"], "rpc_exchange": f"nameko-rpc.{task['name']}"}
    print(json.dumps([outcome(config, call) for call in task["calls"]]))  # noqa: T201
