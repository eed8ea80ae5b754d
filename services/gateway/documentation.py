"""The API's description for people: plain pages made from the OpenAPI document. No script, nothing from elsewhere."""

import re
from collections.abc import Iterator
from typing import Any

import apispec
import flask
import markupsafe

from services.gateway import problems, remedies

METHODS = ("get", "post", "put", "patch", "delete")


def pages(spec: apispec.APISpec) -> flask.Blueprint:
    blueprint = flask.Blueprint("documentation", __name__, template_folder="templates")

    blueprint.add_app_template_filter(marked_up)

    @blueprint.get("/docs")
    def show_operations() -> str:
        document = spec.to_dict()
        return flask.render_template("docs/operations.html", document=document, operations=list(operations(document)))

    @blueprint.get("/docs/errors")
    def show_errors() -> str:
        document = spec.to_dict()
        return flask.render_template("docs/errors.html", document=document, codes=codes(document))

    return blueprint


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method in capitals, and operation object of every operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method.upper(), item[method]


def codes(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """
    By code, in its order: `{"statuses", "operations", "everywhere", "means", "do"}`.

    Those that are met over RPC only have no operations, and are not everywhere.
    """
    found = {
        code: {"statuses": set(), "operations": [], "everywhere": code in problems.EVERYWHERE, **vars(remedy)}
        for code, remedy in sorted(remedies.REMEDIES.items())
    }
    for code, entry in found.items():
        elsewhere = problems.EVERYWHERE.get(code, entry.pop("status"))
        entry["statuses"] |= {elsewhere} - {None}
    for path, method, operation in operations(document):
        for code, status in operation.get("x-codes", {}).items():
            found[code]["statuses"].add(status)
            found[code]["operations"].append(f"{method} {path}")
    return found


def marked_up(text: str) -> markupsafe.Markup:
    """A text whose `code` stands between backticks, as HTML."""
    return markupsafe.Markup(_CODE.sub(r"<code>\1</code>", str(markupsafe.escape(text))))  # noqa: S704  # escaped


_CODE = re.compile("`([^`]+)`")
