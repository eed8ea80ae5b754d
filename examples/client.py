"""
A client to copy: asks before each message, and asks again when it must. Needs nothing but `requests`.

    CHATNESS=http://127.0.0.1:8000 CHATNESS_SECRET=chs_… python examples/client.py bot_… <lines.txt

sends each line of its input as a message. The secret needs the scopes messages:write and messages:refund.
"""

import os
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests


class Refused(Exception):
    """Asking again would not help. `problem["code"]` says why; see docs/errors.md."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.problem = problem


class LimitReached(Refused):
    """No message is left until `problem["resets_at"]`, unless the owner upgrades at `problem["upgrade_url"]`."""


@dataclass
class Chatness:
    """:param patience_seconds: how long to ask again, where a part is away or an answer was lost"""

    url: str
    secret: str = field(repr=False)
    patience_seconds: float = 30.0
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def admit(self, bot_id: str, message_id: str) -> dict[str, Any]:
        """
        Count a message, which may be sent then. The id is yours: asked again with it, the message counts once.

        :raises LimitReached: if none is left this month
        :raises Refused: for `bot_paused` and whatever else stands in the way
        """
        return dict(self._ask("POST", "/v1/messages", {"bot_id": bot_id, "id": message_id}).json())

    def refund(self, message_id: str) -> None:
        """Give back a message that could not be sent, within 15 minutes. A repeat changes nothing."""
        self._ask("DELETE", f"/v1/messages/{message_id}")

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Both requests may be repeated as they are: what was done already is only answered again."""
        give_up_at = time.monotonic() + self.patience_seconds
        headers = {"Authorization": f"Bearer {self.secret}"}
        while True:
            try:
                answer = self.session.request(method, self.url + path, json=body, headers=headers, timeout=5)
            except (requests.ConnectionError, requests.Timeout):  # nobody knows whether it was counted
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(1)
                continue
            if answer.ok:
                return answer
            # 503, and 429 for too many requests, say when to come back; the monthly 429 does not: that is a date.
            if "Retry-After" not in answer.headers or time.monotonic() > give_up_at:
                problem = answer.json()
                raise (LimitReached if problem["code"] == "message_limit_reached" else Refused)(problem)
            time.sleep(float(answer.headers["Retry-After"]))


def main(bot_id: str) -> None:
    chatness = Chatness(os.environ["CHATNESS"], os.environ["CHATNESS_SECRET"])
    for line in sys.stdin:
        message_id = f"msg_{uuid.uuid4().hex}"  # made before it is first asked for, and kept until that is answered
        try:
            remaining = chatness.admit(bot_id, message_id)["remaining"]
        except LimitReached as refused:
            sys.exit(f"no message is left until {refused.problem['resets_at']}")
        try:
            deliver(line.strip())
        except ValueError as error:
            chatness.refund(message_id)
            print(f"not sent, and given back: {error}")
        else:
            print(f"sent; {remaining} are left")


def deliver(text: str) -> None:
    """What your program does to send a message; here it can only fail."""
    if not text:
        raise ValueError("there is nothing in it")


if __name__ == "__main__":
    main(sys.argv[1])
