"""A person at the page by a plain HTTP client: for what no click can show, such as a form that is sent twice."""

import re
from html import unescape
from typing import Any

import requests

from ops import client
from tests.stack.stacks import PASSWORD, READY_SECONDS, Org, eventually

HTML = {"Accept": "text/html"}


class Surfer:
    """Signed in as the org's owner."""

    def __init__(self, org: Org) -> None:
        self.url = org.stack.url
        self._session = requests.Session()
        self._session.headers.update(HTML)
        (signed_in,) = eventually(lambda: self._signed_in(org), "nobody is signed in", seconds=READY_SECONDS)
        assert signed_in.status_code == 303, signed_in.text

    def _signed_in(self, org: Org) -> list[requests.Response]:
        """A machine that is busy with other tests may not hash a password in time: 503 says to ask again."""
        answer = self.send("/sign-in", email=org.email, password=PASSWORD)
        return [] if answer.status_code == 503 else [answer]

    def see(self, path: str) -> requests.Response:
        return self._session.get(self.url + path, timeout=client.TIMEOUT_SECONDS)

    def form(self, page: str, action: str = "") -> dict[str, str]:
        """The hidden fields of the form on this page that goes there."""
        forms = re.findall(r"<form[^>]* action=\"([^\"]+)\"[^>]*>(.*?)</form>", self.see(page).text, re.DOTALL)
        body = next(body for goes_to, body in forms if unescape(goes_to) == (action or page))
        return {name: self._value(body, name) for name in ("csrf_token", "command_id")}

    def post(self, action: str, form: dict[str, str], **typed: str | list[str]) -> requests.Response:
        answer = {**form, **typed}
        return self._session.post(
            self.url + action, data=answer, allow_redirects=False, timeout=client.TIMEOUT_SECONDS
        )

    def upload(
        self, action: str, form: dict[str, str], files: dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """:param files: by field, `(name, content)`, as requests takes them"""
        return self._session.post(
            self.url + action,
            data=form,
            files=files,
            headers=headers,
            allow_redirects=False,
            timeout=client.TIMEOUT_SECONDS,
        )

    def send(self, action: str, *, page: str = "", **typed: str | list[str]) -> requests.Response:
        """Fill in the form that goes there, and send it."""
        return self.post(action, self.form(page or action, action), **typed)

    def _value(self, body: str, name: str) -> str:
        found = re.search(rf'name="{name}"[^>]* value="([^"]+)"', body)
        assert found, body
        return unescape(found[1])
