"""
Whose request it is, as far as an address tells: what sign-in is throttled by, and nothing else.

Each server in front of us appends the address it was asked from to X-Forwarded-For. What stands there before that was
written by the client, and may say anything: so the entries are counted from the end.
"""

import ipaddress
from typing import Any

NETWORK_BITS = 64  # of IPv6: so much one customer of a provider has, and may change the rest at will


def address(environ: dict[str, Any], *, proxies: int) -> str:
    """
    The address in its one spelling, an IPv6 one without what its owner may choose; empty where there is none.

    :param proxies: how many servers in front of us append. With fewer entries somebody has come past them, and is
        whoever has connected
    """
    peer: str = environ.get("REMOTE_ADDR", "")
    told = [entry.strip() for entry in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if proxies and len(told) >= proxies:
        return _spelled(told[-proxies]) or _spelled(peer)
    return _spelled(peer)


def _spelled(text: str) -> str:
    try:
        found = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(found), NETWORK_BITS), strict=False).network_address)
    return str(found)
