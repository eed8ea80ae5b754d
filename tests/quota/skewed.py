"""
A quota process on a machine whose clock is wrong.

    python -m tests.quota.skewed DATABASE_URL SECONDS BOT_ID COUNT

Waits for a line on stdin, sends so many messages, one after the other, and prints the answers as one line of JSON.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

import time_machine

from services import access
from services.quota import service
from shared import clock, context, database, doors
from tests.quota.conftest import GATEWAY, OWNER, for_gateway


def main(url: str, seconds: str, bot_id: str, count: str) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(seconds)), tick=True):
        home = database.Database(url, clock.Clock())
        quota = service.QuotaService()
        quota.house = doors.House(database=home, authorise=access.check, fingerprint_key=b"k" * 32, settings=None)
        assert home.answers()
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        answers = []
        with context.use(actor=GATEWAY):
            for number in range(int(count)):
                item = for_gateway(f"msg_{seconds}_{number}", bot_id)
                answers += quota.admit_messages(items=[item], actors=[OWNER.to_json()])
        print(json.dumps(answers), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
