"""
`chatness demo`: the product's story over HTTP, on a real stack. Each step says what it expects and whether it came.

Sign up, confirm, sign in; a bot and a secret; messages until the limit; upgrade through Checkout; downgrade, which
pauses bots; the month turns.
"""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from ops import client, events, processes, reach, stack
from shared import clock, outbox

PASSWORD = "correct horse battery staple"  # noqa: S105
CARD = "4242424242424242"
START_SECONDS = 90
SETTLE_SECONDS = 15


def run(keep: bool) -> int:
    """Gives 0 if every expectation was met, else 1. Starts a stack if none answers, and ends what it started."""
    directory = stack.run_directory()
    with _standing(directory, keep=keep) as environment:
        story = Story(environment, directory)
        watching = threading.Thread(target=story.show_events, daemon=True)
        watching.start()
        try:
            story.play()
        finally:
            story.over.set()
            watching.join(timeout=2)
        return story.verdict()


@dataclass
class Story:
    environment: dict[str, str]
    directory: Path
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    over: threading.Event = field(default_factory=threading.Event)
    met: int = 0
    missed: list[str] = field(default_factory=list)
    owner: client.Api = field(init=False)
    program: client.Api = field(init=False)
    bot_id: str = ""

    def __post_init__(self) -> None:
        self.owner = client.Api(self.environment["PUBLIC_URL"])
        self.program = self.owner
        self.address = f"ada-{secrets.token_hex(4)}@example.com"
        self.clock = clock.Clock(Path(self.environment["CHATNESS_CLOCK_FILE"]))

    def play(self) -> None:
        self.clock.set()
        for chapter in (
            self.sign_up,
            self.make_bot_and_secret,
            self.send_until_blocked,
            self.upgrade,
            self.downgrade,
            self.turn_the_month,
        ):
            self.console.rule(f"[bold]{chapter.__name__.replace('_', ' ')}")
            chapter()
            if self.missed:
                return

    def sign_up(self) -> None:
        body = {"name": "Ada Lovelace", "email": self.address, "password": PASSWORD, "org_name": "Analytical Engines"}
        self.expect("registering is accepted", self.owner.ask("POST", "/v1/accounts", body), 202)
        early = self.owner.ask("POST", "/v1/sessions", self.login)
        self.expect("signing in before confirming is refused", early, 403, code="address_unconfirmed")
        mailbox = self.directory / "mail"
        token = self.eventually("a mail with a link arrives", lambda: client.mailed_token(mailbox, to=self.address))
        self.expect("the link confirms", self.owner.ask("POST", "/v1/email-confirmations", {"token": token}), 200)
        self.sign_in("signing in works now")
        self.eventually("the org has the Free plan's 200 messages", lambda: self.usage().get("limit") == 200)

    def make_bot_and_secret(self) -> None:
        bot = self.expect("a bot is made", self.owner.ask("POST", "/v1/bots", {"name": "Charles"}), 201)
        self.bot_id = bot.get("id", "")
        second = self.owner.ask("POST", "/v1/bots", {"name": "Luigi"})
        self.expect("a second bot has no room on Free", second, 409, code="bot_limit")
        body = {"name": "runtime", "scopes": ["messages:write", "usage:read", "bots:read"]}
        secret = self.expect("a secret is made and shown once", self.owner.ask("POST", "/v1/secrets", body), 201)
        self.program = self.owner.with_token(secret.get("secret", ""))
        shown = self.expect("the list does not show it again", self.owner.ask("GET", "/v1/secrets"), 200)
        self.check("no list entry holds the secret", secret.get("secret", "?") not in str(shown))
        forged = self.owner.with_token(self.program.token[:-1] + ("a" if self.program.token[-1] != "a" else "b"))
        self.expect("a mistyped secret is refused", forged.ask("GET", "/v1/usage"), 401)

    def send_until_blocked(self) -> None:
        first = self.expect("the first message is counted", self.send("msg_first"), 201)
        again = self.expect("asked again, it is the same message", self.send("msg_first"), 201)
        self.check("and the answer is the same", first == again)
        answers = [self.send(f"msg_{number}") for number in range(2, 201)]
        self.check("199 more are counted", [answer.status_code for answer in answers] == [201] * 199)
        blocked = self.expect("message 201 is refused", self.send("msg_201"), 429, code="message_limit_reached")
        self.check("it says when the limit resets", str(blocked.get("resets_at", "")).endswith("-01T00:00:00Z"))
        self.eventually("the bot shows as stopped", lambda: self.bot_state() == "stopped")

    def upgrade(self) -> None:
        change = self.expect("Starter needs a card first", self.change_plan("starter"), 202)
        self.pay(change.get("checkout_url", ""))
        self.eventually("paid: the limit is 2,000 and nothing is used", self.has_usage(limit=2000, used=0))
        self.eventually("the bot runs again", lambda: self.bot_state() == "running")
        self.expect("messages are counted again", self.send("msg_after_upgrade"), 201)
        changed = self.expect("Growth needs no new card", self.change_plan("growth"), 200)
        self.check("quota had applied it when the answer came", changed.get("limits_applied") is True)
        self.eventually("the limit is 10,000 and nothing is used", self.has_usage(limit=10000, used=0))
        for name in ("Luigi", "Mary", "George"):
            self.expect(f"there is room for {name}", self.owner.ask("POST", "/v1/bots", {"name": name}), 201)

    def downgrade(self) -> None:
        self.expect("downgrading to Starter works at once", self.change_plan("starter"), 200)
        self.eventually("the newest bot is paused", lambda: self.bot_states() == ["running"] * 3 + ["paused"])
        self.check("two resets are used up: the count goes on", self.usage().get("limit") == 2000)
        self.expect("and a message is counted under the new limit", self.send("msg_after_downgrade"), 201)

    def turn_the_month(self) -> None:
        used = self.usage().get("used", 0)
        self.check("the month has used messages", used > 0)
        turn = clock.next_month(self.clock.now())
        self.clock.set(offset_seconds=(turn - datetime.now(UTC)).total_seconds())
        month = f"{turn:%Y-%m}"
        self.sign_in("the session has rested too long: signing in again works")
        self.eventually(f"it is {month} and nothing is used", lambda: self.usage().get("period") == month)
        self.check("the count begins at zero", self.usage().get("used") == 0)
        self.expect("the first message of the month is counted", self.send("msg_of_the_month"), 201)
        self.clock.set()

    # How the story asks and checks.

    @property
    def login(self) -> dict[str, str]:
        return {"email": self.address, "password": PASSWORD}

    def sign_in(self, what: str) -> None:
        session = self.expect(what, self.owner.ask("POST", "/v1/sessions", self.login), 201)
        self.owner = self.owner.with_token(session.get("token", ""))

    def send(self, message_id: str) -> requests.Response:
        return self.program.ask("POST", "/v1/messages", {"bot_id": self.bot_id, "id": message_id})

    def usage(self) -> dict[str, Any]:
        answer = self.owner.ask("GET", "/v1/usage")
        return answer.json() if answer.status_code == 200 else {}

    def has_usage(self, *, limit: int, used: int) -> Callable[[], bool]:
        return lambda: (self.usage().get("limit"), self.usage().get("used")) == (limit, used)

    def bot_states(self) -> list[str]:
        return [bot["state"] for bot in self.owner.ask("GET", "/v1/bots").json()["data"]]

    def bot_state(self) -> str:
        return str(self.owner.ask("GET", f"/v1/bots/{self.bot_id}").json().get("state"))

    def change_plan(self, plan: str) -> requests.Response:
        return self.owner.ask("PUT", "/v1/subscription", {"plan": plan})

    def pay(self, checkout_url: str) -> None:
        """Fill in the Checkout page as a person would."""
        browser = requests.Session()
        page = browser.get(checkout_url, timeout=client.TIMEOUT_SECONDS)
        self.check("the Checkout page opens", page.status_code == 200)
        answer = browser.post(
            checkout_url, data={"number": CARD}, allow_redirects=False, timeout=client.TIMEOUT_SECONDS
        )
        self.check("Checkout takes the card", answer.status_code in (302, 303))

    def expect(self, what: str, answer: requests.Response, status: int, *, code: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = answer.json() if answer.content else {}
        came = f"{answer.status_code} {body.get('code', '')}".strip()
        self.check(what, answer.status_code == status and (code is None or body.get("code") == code), came)
        return body

    def eventually(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SETTLE_SECONDS
        found = condition()
        while not found and time.monotonic() < deadline:
            time.sleep(0.05)
            found = condition()
        self.check(what, bool(found))
        return found

    def check(self, what: str, met: bool, came: str = "") -> None:
        if met:
            self.met += 1
            self.console.print(f"[green]✓[/green] {what}" + (f" [dim]({came})[/dim]" if came else ""))
        else:
            self.missed.append(what)
            self.console.print(f"[bold red]✗ {what}[/bold red]" + (f" (came: {came})" if came else ""))

    def show_events(self) -> None:
        """Each event as it enters a service's log, and as each consumer has applied it."""
        homes = reach.open_databases(processes.SERVICES)
        published = {name: events.head(home) for name, home in homes.items()}
        applied = {name: events.inbox_places(home) for name, home in homes.items()}
        while not self.over.wait(0.1):
            for name, home in homes.items():
                with home.begin() as session:
                    found = outbox.read_log(session, name, after=published[name], limit=100)
                for event in found:
                    published[name] = event.position
                    self.console.print(f"[dim]  → {event.name} {event.stream}@{event.version}[/dim]")
                for producer, position in events.inbox_places(home).items():
                    if position > applied[name].get(producer, 0):
                        applied[name][producer] = position
                        self.console.print(f"[dim]  ← {name} has applied {producer}'s log up to {position}[/dim]")

    def verdict(self) -> int:
        if self.missed:
            self.console.print(f"[bold red]{self.met} expectations met, missed: {'; '.join(self.missed)}")
            return 1
        self.console.print(f"[bold green]every expectation met: {self.met}")
        return 0


@contextmanager
def _standing(directory: Path, *, keep: bool) -> Iterator[dict[str, str]]:
    """The settings of a stack that answers: the one that runs in the directory, or one of our own."""
    if _answers(directory):
        yield stack.saved_environment(directory)
        return
    child = subprocess.Popen([sys.executable, "-m", "ops.cli", "up"], stderr=subprocess.PIPE, text=True)
    try:
        _await_ready(child)
        yield stack.saved_environment(directory)
        if keep:
            child.wait()
    finally:
        child.terminate()
        child.wait(timeout=20)


def _answers(directory: Path) -> bool:
    try:
        url = stack.saved_environment(directory)["PUBLIC_URL"]
        return requests.get(f"{url}/v1/plans", timeout=2).status_code == 200
    except Exception:  # noqa: BLE001  # none has run, or none runs now
        return False


def _await_ready(child: "subprocess.Popen[str]") -> None:
    """Show the stack's log until it is ready, and then leave only the story on the screen."""
    assert child.stderr is not None  # noqa: S101
    for line in child.stderr:
        sys.stderr.write(line)
        if line.startswith("READY"):
            threading.Thread(target=_drain, args=(child.stderr,), daemon=True).start()
            return
    sys.exit(child.wait() or 1)


def _drain(output: Any) -> None:
    with open(os.devnull, "w") as nowhere:
        for line in output:
            nowhere.write(line)
