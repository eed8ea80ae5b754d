"""
Customers by what was noted on them. As at Stripe, what was made just now is not found yet.

Of Stripe's query language it knows one clause, `metadata['name']:'value'`; any other is an error.
"""

import re
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.parameters import Required
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store

UNSEEN_SECONDS = 60  # "typically searchable in under a minute", says Stripe
_CLAUSE = re.compile(r"""metadata\[(["'])(?P<name>[^"']+)\1\]:(["'])(?P<value>[^"']+)\3""")


def search(store: Store, params: dict[str, Any]) -> Object:
    clause = _CLAUSE.fullmatch(params["query"])
    if clause is None:
        raise errors.invalid("We were unable to parse your search query.", param="query")
    found = [
        customer
        for customer in store.find("customer", created={"lte": store.now - UNSEEN_SECONDS})
        if not customer.get("deleted") and customer["metadata"].get(clause["name"]) == clause["value"]
    ]
    limit = params.get("limit", 10)
    return {
        "object": "search_result",
        "data": found[:limit],
        "has_more": len(found) > limit,
        "next_page": None,
        "url": "/v1/customers/search",
    }


ROUTES = [Route("GET", "/v1/customers/search", search, {"query": Required(str), "limit": range(1, 101)})]
