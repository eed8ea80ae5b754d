"""A small HTTP client of our own API, for `up`, `demo` and tests."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from sandbox import mail

TIMEOUT_SECONDS = 15
TRIES = 10


@dataclass(frozen=True)
class Api:
    url: str
    token: str = ""
    session: requests.Session = field(default_factory=requests.Session, repr=False, compare=False)

    def with_token(self, token: str) -> "Api":
        return Api(self.url, token, self.session)

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """
        One request; a refusal is an answer like any other, but for `busy`: nothing was done then, and where one
        machine does all, it may be over in a moment.

        :param body: a JSON value; or bytes, whose Content-Type stands in the headers
        """
        sent = dict(headers or {})
        content: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        for _ in range(TRIES):
            answer = self.session.request(
                method, f"{self.url}{path}", headers=sent, timeout=TIMEOUT_SECONDS, **content
            )
            if answer.status_code != 503 or answer.json().get("code") != "busy":
                break
            time.sleep(float(answer.headers["Retry-After"]))
        return answer


def mailed_token(folder: Path, *, to: str) -> str | None:
    """The token in the newest mail to this address that has a link with one."""
    return token_in(mail.read(folder), to=to)


def token_in(messages: Iterable[Mapping[str, Any]], *, to: str) -> str | None:
    """The same, of mails as `chatness mail --json` prints them, the oldest first."""
    for message in reversed(list(messages)):
        if message["to"] == to:
            for link in re.findall(r"https?://\S+", message["text"]):
                tokens = parse_qs(urlsplit(link).query).get("token")
                if tokens:
                    return str(tokens[0])
    return None
