"""
Remote calls between services, on nameko, with what nameko leaves open closed: see `docs/decisions`.

A call has a deadline, carries who asks, and ends in an answer, in one of the six refusals or in `Unavailable`.
"""

from shared.rpc.arguments import PageSize
from shared.rpc.broadcast import on_broadcast
from shared.rpc.client import Client, Remote
from shared.rpc.server import door
from shared.rpc_wire import RemoteBug

__all__ = ["Client", "PageSize", "Remote", "RemoteBug", "door", "on_broadcast"]
