"""`python -m sandbox.stripe`: the Stripe sandbox as a process of its own."""

import argparse
import logging
import socket
import sys
from pathlib import Path

from sandbox.stripe import server
from sandbox.stripe.machine import Options


def main() -> None:
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with socket.create_server((arguments.host, arguments.port), backlog=128) as sock:
        address = f"http://{arguments.host}:{sock.getsockname()[1]}"
        sys.stdout.write(f"Stripe sandbox on {address}\n")
        sys.stdout.flush()
        try:
            server.serve(sock, _options(arguments, address))
        except KeyboardInterrupt:
            return


def _options(arguments: argparse.Namespace, address: str) -> Options:
    return Options(
        state_file=arguments.state,
        public_url=(arguments.public_url or address).rstrip("/"),
        clock_file=arguments.clock_file,
        webhook_url=arguments.webhook_url,
        webhook_secret=arguments.webhook_secret,
        catalogue=arguments.catalogue,
        after_dunning=arguments.after_dunning,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=12111, help="0 takes a free one; standard output says which")
    parser.add_argument("--public-url", help="what browsers are sent to; by default the address it listens on")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file; made if it is not there")
    parser.add_argument("--clock-file", type=Path, help="the shared test clock")
    parser.add_argument("--webhook-url", help="the address that gets every event")
    parser.add_argument("--webhook-secret", help="what its deliveries are signed with (whsec_...)")
    parser.add_argument("--catalogue", type=Path, help="plan catalogue that products and prices are made from")
    parser.add_argument(
        "--after-dunning",
        choices=("unpaid", "cancel"),
        default="unpaid",
        help="what becomes of a subscription whose last retry failed",
    )
    arguments = parser.parse_args()
    if arguments.webhook_url and not arguments.webhook_secret:
        parser.error("--webhook-url needs --webhook-secret")
    return arguments


if __name__ == "__main__":
    main()
