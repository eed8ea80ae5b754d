"""Free TCP ports on 127.0.0.1."""

import random
import socket

# Below the range from which Linux and macOS take the ports of outgoing connections: a port found free stays
# free until a server takes it, but for another server that looks at the same moment (callers try again).
CANDIDATES = range(20_000, 32_000)


def free(*, wanted: int | None = None, attempts: int = 200) -> int:
    """
    A port that nobody listens on: the wanted one if possible.

    :raises OSError: if none was found
    """
    if wanted is not None and is_free(wanted):
        return wanted
    for port in random.sample(CANDIDATES, attempts):
        if is_free(port):
            return port
    raise OSError(f"no free port on 127.0.0.1 among {attempts} tried")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
