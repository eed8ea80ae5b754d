"""The API's description for people: plain pages made from the OpenAPI document. No script, nothing from elsewhere."""

from collections.abc import Iterator
from typing import Any

import apispec
import flask

from services.gateway import problems

METHODS = ("get", "post", "put", "patch", "delete")


def pages(spec: apispec.APISpec) -> flask.Blueprint:
    blueprint = flask.Blueprint("documentation", __name__, template_folder="templates")

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
    """By code: `{"statuses", "operations"}`, in order of the code."""
    found: dict[str, dict[str, Any]] = {
        code: {"statuses": {status}, "operations": []} for code, status in problems.EVERYWHERE.items()
    }
    for path, method, operation in operations(document):
        for code, status in operation.get("x-codes", {}).items():
            entry = found.setdefault(code, {"statuses": set(), "operations": []})
            entry["statuses"].add(status)
            entry["operations"].append(f"{method} {path}")
    return dict(sorted(found.items()))
