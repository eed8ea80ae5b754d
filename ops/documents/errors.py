"""`docs/errors.md`: every code with its status, what it means and what to do, as the gateway's own page has it."""

from typing import Any

from services.gateway import app, documentation, routes
from services.gateway.settings import Settings

PATH = "docs/errors.md"
HEAD = """\
<!-- Made by `make docs` from services/gateway/remedies.toml and the routes. -->

# Errors

Every refusal is a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

```
HTTP/1.1 409 CONFLICT
Content-Type: application/problem+json

{"type": "https://api.example.com/docs/errors#bot_paused", "title": "Bot paused", "status": 409, "detail":
"This bot is paused.", "code": "bot_paused", "instance": "req_…", "pause_reasons": ["user"]}
```

- **`code`** is for programs. It never changes its meaning. New ones may come: treat one that you do not know by its
  status.
- **`detail`** is for people, and may change.
- **`type`** points to the code's explanation, on a page of the gateway's own that has the same anchors as this one.
- **`instance`** is the Request-Id: name it when you ask somebody about it.
- Some codes carry more, as `errors`, `resets_at` or `pause_reasons`.

What to do by status, where nothing more is known:

| Status | Ask again? |
|---|---|
| 400 to 431 | not unchanged: something in the request, or in what it is about, must change first |
| 429 | after `Retry-After` seconds; where that is missing, after the moment in `resets_at` |
| 500, 503 | after `Retry-After` seconds, with the same Idempotency-Key or message id, so that it happens once |

Over RPC the same codes come with the kinds of error that these statuses stand for.
"""


def render() -> str:
    codes = documentation.codes(_document())
    return "\n".join([HEAD, *_index(codes), "", *(_section(code, entry) for code, entry in codes.items())])


def _document() -> Any:
    """The API's own description; it says the same for every installation."""
    settings = Settings(amqp_uri="", public_url="", cursor_key=b"")
    site = app.create(settings, services=None, authentication=None, groups=routes.groups(settings))  # type: ignore[arg-type]
    return site.test_client().get("/openapi.json").json


def _index(codes: dict[str, dict[str, Any]]) -> list[str]:
    statuses = sorted({status for entry in codes.values() for status in entry["statuses"]})
    lines = ["## By status", ""]
    for status in statuses:
        named = [f"[`{code}`](#{code})" for code, entry in codes.items() if status in entry["statuses"]]
        lines.append(f"- **{status}**: {', '.join(named)}")
    return lines


def _section(code: str, entry: dict[str, Any]) -> str:
    statuses = " or ".join(map(str, sorted(entry["statuses"])))
    over = "" if entry["operations"] or entry["everywhere"] else ", over RPC only"
    return f"### `{code}`\n\n{statuses}{over}. {entry['means']}\n\n**Do:** {entry['do']}\n"
