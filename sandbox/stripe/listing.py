"""Lists as Stripe answers them: pages by cursor, and `expand` for what an object only names."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.state import Object, Store

DEEPEST = 4  # levels of `expand`; in a list its `data` is one of them
Includable = Callable[[Store, Object], Any]


def page(objects: list[Object], params: dict[str, Any], url: str) -> Object:
    """
    One page of a list that is ordered newest first.

    :raises StripeError: 400 for a cursor that is not in the list, and for two of them
    """
    limit = params.get("limit", 10)
    if params.get("starting_after") and params.get("ending_before"):
        raise errors.invalid("You may only specify one of these parameters: ending_before, starting_after.")
    backwards = params.get("ending_before")
    if backwards:
        before = objects[: _position(objects, backwards, "ending_before")]
        return listed(before[-limit:], url, has_more=len(before) > limit)
    after = params.get("starting_after")
    rest = objects[_position(objects, after, "starting_after") + 1 :] if after else objects
    return listed(rest[:limit], url, has_more=len(rest) > limit)


def known(store: Store, params: dict[str, Any], **kinds: str) -> None:
    """
    What a list is asked for must be there; a deleted customer still has lists.

    :param kinds: by the name of the parameter
    :raises StripeError: 400 with code resource_missing
    """
    for param, kind in kinds.items():
        if params.get(param):
            store.get(kind, params[param], param=param, status=400)


def listed(data: list[Object], url: str, *, has_more: bool = False) -> Object:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def expand(store: Store, answer: Object, paths: list[str], includables: dict[tuple[str, str], Includable]) -> Object:
    """
    Put objects where the answer has only their ids.

    :param includables: fields that are absent unless asked for, by object and field
    :raises StripeError: 400 for a field that cannot be expanded, and for too deep a path
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise errors.invalid(
                f"You cannot expand more than {DEEPEST} levels of a property ({path}).", param="expand"
            )
        _expand(store, answer, steps, path, includables)
    return answer


def _expand(
    store: Store, body: Any, parts: list[str], path: str, includables: dict[tuple[str, str], Includable]
) -> None:
    if not parts or body is None:
        return
    if isinstance(body, list):
        for each in body:
            _expand(store, each, parts, path, includables)
        return
    name = parts[0]
    body[name] = _expanded(store, body, name, path, includables)
    _expand(store, body[name], parts[1:], path, includables)


def _expanded(store: Store, body: Any, name: str, path: str, includables: dict[tuple[str, str], Includable]) -> Any:
    include = includables.get((body.get("object", ""), name))
    if include is not None and name not in body:
        return include(store, body)
    if name not in body:
        raise errors.invalid(f"This property cannot be expanded ({path}).", param="expand")
    value = body[name]
    if value is None or isinstance(value, dict | list):
        return value
    found = store.lookup(value) if isinstance(value, str) and name != "id" else None
    if found is None:
        raise errors.invalid(f"This property cannot be expanded ({path}).", param="expand")
    return found


def _position(objects: list[Object], object_id: str, param: str) -> int:
    for index, each in enumerate(objects):
        if each["id"] == object_id:
            return index
    raise errors.missing("object", object_id, param=param, status=400)
