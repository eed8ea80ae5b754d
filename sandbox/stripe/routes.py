"""How a resource declares its calls; `server` collects and serves them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.stripe.state import Object, Store


@dataclass(frozen=True)
class Route:
    """
    :param path: with `<names>` in Flask's manner; they are passed by keyword
    :param handler: takes the store, the checked parameters and the names of the path
    :param shape: see `parameters`; `expand` is always allowed
    """

    method: str
    path: str
    handler: Callable[..., Object]
    shape: dict[str, Any] = field(default_factory=dict)


def retrieve(kind: str) -> Callable[..., Object]:
    """The handler that answers one object of a kind, under `<object_id>`."""

    def get(store: Store, _params: dict[str, Any], object_id: str) -> Object:
        return store.get(kind, object_id)

    return get
