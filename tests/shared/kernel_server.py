"""
The counters' service, at whose door its log can be read. A process of its own, because eventlet patches all of one.

    python -m tests.shared.kernel_server DATABASE_URL AMQP_URI
"""

import sys

from shared import serve


def main(database_url: str, amqp_uri: str) -> int:
    from services import access
    from shared import clock, database, doors

    class Counting(doors.Service):
        name = "counting"

    house = doors.House(
        database=database.Database(database_url, clock.Clock()),
        authorise=access.check,
        fingerprint_key=b"k" * 32,
        settings=None,
    )
    return serve.serve([Counting], amqp_uri=amqp_uri, config={"houses": {"counting": house}})


if __name__ == "__main__":
    serve.green()
    sys.exit(main(*sys.argv[1:]))
