"""
From the token of a request to the one who acts: an API secret or a session, asked of its owner, and remembered.

A remembered answer is used for seconds only, never past the token's own expiry, and never across an invalidation:
what was asked before `forget_secrets` and its like is not remembered after it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from eventlet.event import Event

from services.gateway import api_secret, problems
from shared import clock, context, errors

GATEWAY: Final = context.Actor(kind="service", id="gateway")

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE)


class Authentication:
    """
    :param verify_secret: RPC `secrets.verify_secret(sha256=…)`, answering `{secret_id, org_id, scopes, expires_at}`
    :param verify_session: RPC `accounts.verify_session(sha256=…)`, answering
        `{account_id, org_id, role, session_id, expires_at}`
    :param secret_seconds: how long an answer about a secret is remembered; `session_seconds` likewise
    :param note_use: called with the id of an API secret whenever it is shown and good; it must not wait
    :param now: the business clock, for the tokens' own expiry
    """

    def __init__(
        self,
        *,
        verify_secret: Callable[..., dict[str, Any]],
        verify_session: Callable[..., dict[str, Any]],
        note_use: Callable[[str], None],
        memory: Memory,
        secret_seconds: float,
        session_seconds: float,
        now: Callable[[], datetime],
    ) -> None:
        self._verify_secret = verify_secret
        self._verify_session = verify_session
        self._note_use = note_use
        self._memory = memory
        self._secret_seconds = secret_seconds
        self._session_seconds = session_seconds
        self._now = now

    def identify(self, authorization: str | None) -> context.Actor:
        """
        :param authorization: the request's Authorization header
        :raises Problem: 401 `token_required` without a token, `invalid_token` with one that is not valid
        """
        if authorization is None:
            raise _unauthenticated("token_required", "This needs a session token or an API secret.")
        match = _BEARER.fullmatch(authorization)
        if match is None:
            raise _unauthenticated("invalid_token", "The Authorization header is not of the form `Bearer <token>`.")
        return self._identify(match[1])

    def identify_session(self, token: str) -> context.Actor:
        """
        The person behind a session's token; an API secret is nobody here.

        :raises Problem: 401 `invalid_token`
        """
        if not _TOKEN.fullmatch(token) or token.startswith(api_secret.PREFIX):
            raise _unauthenticated("invalid_token", "This is no session's token.")
        return self._identify(token)

    def revoke_secret(self, secret_id: str) -> None:
        """After a revocation by this process; the others hear of it by broadcast."""
        self._memory.revoke_secret(secret_id)

    def forget_secret(self, secret_id: str) -> None:
        """After a rotation, likewise."""
        self._memory.forget_secret(secret_id)

    def forget_sessions(self) -> None:
        self._memory.forget_sessions()

    def _identify(self, token: str) -> context.Actor:
        answer = self._answer(token)
        if answer.actor is None or (answer.expires_at and answer.expires_at <= self._now()):
            raise _unauthenticated("invalid_token", "The token is unknown, revoked or expired.")
        if answer.actor.kind == "secret":
            self._note_use(answer.actor.id)
        return answer.actor

    def _answer(self, token: str) -> Answer:
        sha256 = api_secret.fingerprint(token)
        if not token.startswith(api_secret.PREFIX):
            return self._memory.sessions.get(sha256, self._ask_accounts, max_age_seconds=self._session_seconds)
        remembered = self._memory.secrets.remembered(sha256, max_age_seconds=self._secret_seconds)
        if remembered is not None:  # so it is well formed: the sum need not be worked out for each message
            return remembered
        if not api_secret.is_well_formed(token):
            raise _unauthenticated("invalid_token", "The API secret is mistyped or cut off.")
        return self._memory.secrets.get(sha256, self._ask_secrets, max_age_seconds=self._secret_seconds)

    def _ask_secrets(self, sha256: str) -> Answer:
        try:
            with context.use(actor=GATEWAY):
                found = self._verify_secret(sha256=sha256)
        except errors.NotFound:
            return NOBODY
        actor = context.Actor(
            kind="secret", id=found["secret_id"], org_id=found["org_id"], scopes=tuple(found["scopes"])
        )
        return Answer(actor=actor, expires_at=_moment(found["expires_at"]))

    def _ask_accounts(self, sha256: str) -> Answer:
        try:
            with context.use(actor=GATEWAY):
                found = self._verify_session(sha256=sha256)
        except errors.NotFound:
            return NOBODY
        actor = context.Actor(
            kind="person",
            id=found["account_id"],
            org_id=found["org_id"],
            role=found["role"],
            session_id=found["session_id"],
        )
        return Answer(actor=actor, expires_at=_moment(found["expires_at"]))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Whose token it is. :param actor: None if nobody's"""

    actor: context.Actor | None
    expires_at: datetime | None = None


NOBODY: Final = Answer(actor=None)


class Memory:
    """
    The answers of the last seconds, shared by all requests of a process.

    :ivar on_secrets_forgotten: called then, for those who act longer than a request takes
    :ivar on_sessions_forgotten: the same for sessions
    """

    def __init__(self) -> None:
        self.secrets = Answers()
        self.sessions = Answers()
        self.on_secrets_forgotten: Callable[[], None] = lambda: None
        self.on_sessions_forgotten: Callable[[], None] = lambda: None

    def forget_secrets(self) -> None:
        self.secrets.forget()
        self.on_secrets_forgotten()

    def forget_secret(self, secret_id: str) -> None:
        """What its values are good for has changed."""
        self.secrets.forget_holder(secret_id)
        self.on_secrets_forgotten()

    def revoke_secret(self, secret_id: str) -> None:
        """It is refused from now on, and nobody is asked about it: whoever revokes one may be in a hurry."""
        self.secrets.refuse_holder(secret_id)
        self.on_secrets_forgotten()

    def forget_sessions(self) -> None:
        self.sessions.forget()
        self.on_sessions_forgotten()


@dataclass(kw_only=True)
class Answers:
    """
    Answers by the token's SHA-256. Those who ask for the same token at the same time wait for one question.

    Known and unknown tokens have their own room: whoever tries a million made-up ones pushes out nobody's real one.
    """

    size: int = 50_000
    _known: dict[str, tuple[float, Answer]] = field(default_factory=dict)
    _unknown: dict[str, tuple[float, Answer]] = field(default_factory=dict)
    _held: dict[str, set[str]] = field(default_factory=dict)  # the known tokens of each actor
    _asked: dict[str, Event] = field(default_factory=dict)

    def get(self, sha256: str, ask: Callable[[str], Answer], *, max_age_seconds: float) -> Answer:
        """:raises Unavailable: if nobody can be asked; that is not remembered"""
        remembered = self.remembered(sha256, max_age_seconds=max_age_seconds)
        if remembered is not None:
            return remembered
        question = self._asked.get(sha256)
        if question is not None:
            answer: Answer = question.wait()
            return answer
        return self._ask(sha256, ask)

    def remembered(self, sha256: str, *, max_age_seconds: float) -> Answer | None:
        found = self._known.get(sha256) or self._unknown.get(sha256)
        return found[1] if found is not None and time.monotonic() < found[0] + max_age_seconds else None

    def forget(self) -> None:
        """Forget all answers, and those still on their way: who asks from now on asks anew."""
        self._known.clear()
        self._unknown.clear()
        self._held.clear()
        self._asked = {}

    def forget_holder(self, actor_id: str) -> None:
        """Forget the answers about one actor's tokens, and all that are still on their way."""
        self._asked = {}
        for sha256 in list(self._held.get(actor_id, ())):
            self._drop(sha256)

    def refuse_holder(self, actor_id: str) -> None:
        """From now on one actor's tokens are nobody's."""
        now, tokens = time.monotonic(), list(self._held.get(actor_id, ()))
        self.forget_holder(actor_id)
        for sha256 in tokens:
            self._remember(sha256, NOBODY, now)

    def _ask(self, sha256: str, ask: Callable[[str], Answer]) -> Answer:
        asked = self._asked  # `forget` puts another in its place
        asked_at = time.monotonic()
        question = asked[sha256] = Event()
        try:
            answer = ask(sha256)
        except BaseException as error:
            question.send_exception(error)
            raise
        finally:
            del asked[sha256]
        if asked is self._asked:
            self._remember(sha256, answer, asked_at)
        question.send(answer)
        return answer

    def _remember(self, sha256: str, answer: Answer, asked_at: float) -> None:
        room = self._known if answer.actor else self._unknown
        self._drop(sha256)
        if len(room) >= self.size:
            self._drop(next(iter(room)))  # the oldest: a dict keeps the order of insertion
        room[sha256] = (asked_at, answer)
        if answer.actor:
            self._held.setdefault(answer.actor.id, set()).add(sha256)

    def _drop(self, sha256: str) -> None:
        self._unknown.pop(sha256, None)
        _at, answer = self._known.pop(sha256, (0.0, NOBODY))
        if answer.actor:
            held = self._held[answer.actor.id]
            held.remove(sha256)
            if not held:
                del self._held[answer.actor.id]


def _moment(text: str | None) -> datetime | None:
    return clock.parse(text) if text else None


def _unauthenticated(code: str, detail: str) -> problems.Problem:
    challenge = "Bearer" if code == "token_required" else 'Bearer error="invalid_token"'
    return problems.Problem(status=401, code=code, detail=detail, headers={"WWW-Authenticate": challenge})
