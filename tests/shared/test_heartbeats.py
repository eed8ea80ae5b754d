"""A connection that only listens, in a rush: the broker must hear of it all the same."""

from collections.abc import Callable
from pathlib import Path

from shared.rpc_client import BlockingClient
from tests.shared.rpc_processes import processes

HEARTBEAT_SECONDS = 3
ANSWERS = 48
EVERY_SECONDS = 0.25  # so that its reader never looks up in vain
PATIENCE_SECONDS = 30.0


def test_are_sent_while_answers_never_stop_coming(new_vhost: Callable[[], str], tmp_path: Path) -> None:
    """The broker gives a silent connection up when two heartbeats or three are missing."""
    uri = new_vhost()
    waits = [{"seconds": number * EVERY_SECONDS} for number in range(ANSWERS)]
    with processes(tmp_path) as start:
        front, example = (start(f"{uri}?heartbeat={HEARTBEAT_SECONDS}", service) for service in ("front", "example"))
        front.becomes_ready()
        example.becomes_ready()
        with BlockingClient(uri) as client:
            outcomes = client.call(
                "front",
                "ask_at_once",
                timeout=PATIENCE_SECONDS,
                method="wait",
                list_of_arguments=waits,
                seconds=PATIENCE_SECONDS,
            )

        assert len(outcomes) == ANSWERS
        assert "broker connection lost" not in front.log
