"""Where somebody's traces could be: databases, queues and Stripe, each as text to search; and a backup put back."""

import json
import shutil
import subprocess
from typing import Any

from sqlalchemy import make_url

from ops import processes
from ops.rabbitmq import connected
from sandbox.rabbitmq import RabbitmqServer
from tests import databases
from tests.stack.stacks import Running

INVOICES = ("invoice", "invoiceitem", "invoice_payment")


def dump(stack: Running, service: str) -> str:
    """The whole database as text; bytes stand in it in hexadecimal."""
    url = make_url(stack.environment[f"{service.upper()}_DATABASE_URL"]).set(drivername="postgresql")
    program = shutil.which("pg_dump")
    if program is None:
        return databases.everything_in(stack.database(service))
    command = [program, "--inserts", "--dbname", url.render_as_string(hide_password=False)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def found_in(text: str, canaries: tuple[str, ...]) -> list[str]:
    return [one for one in canaries if one in text or one.encode().hex() in text]


def stripe_knows(stack: Running) -> str:
    """All that Stripe has, but for its invoices: these are kept, as the law asks for."""
    everything: dict[str, Any] = stack.stripe("state")
    return json.dumps(
        {kind: things for kind, things in everything.items() if kind not in INVOICES}, ensure_ascii=False
    )


def queued(stack: Running, rabbitmq: RabbitmqServer) -> str:
    """Each message that waits in a queue, left where it is. What only its owner may read has nothing that waits."""
    uri = rabbitmq.uri_of(stack.environment["AMQP_URI"].rpartition("/")[2])
    columns = ("name", "exclusive", "messages")
    listed = rabbitmq.ctl("list_queues", "-p", uri.rpartition("/")[2], *columns, "--no-table-headers")
    queues = [line.split("\t") for line in listed.splitlines()]
    assert [name for name, exclusive, messages in queues if exclusive == "true" and messages != "0"] == []
    shared = [name for name, exclusive, _messages in queues if exclusive == "false"]
    assert "rpc-accounts" in shared
    held = []
    with connected(uri) as connection:
        channel = connection.channel()
        for name in shared:
            while (got := channel.basic_get(name))[0] is not None:
                held.append(f"{name} {got[1]} {(got[2] or b'').decode(errors='replace')}")
    return "\n".join(held)  # with the connection all of them go back


def rows_of(stack: Running, *ids: str) -> dict[str, list[str]]:
    """What the databases hold that names one of these ids: each row as it is dumped."""
    return {
        service: sorted(line for line in dump(stack, service).splitlines() if any(id in line for id in ids))
        for service in processes.SERVICES
    }


def restore(stack: Running, service: str, backup: str) -> None:
    """Put a database back to what was dumped."""
    url = make_url(stack.environment[f"{service.upper()}_DATABASE_URL"]).set(drivername="postgresql")
    again = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"
    command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url.render_as_string(hide_password=False)]
    done = subprocess.run(command, input=again + backup, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
