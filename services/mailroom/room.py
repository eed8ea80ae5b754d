"""
What becomes of one mail: handed to accounts, or passed on. Synchronous, in a thread of its own.

Nothing is kept here: the peer hears that a mail is taken once somebody else has it, and until then it has it still.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import utils
from typing import Any, Protocol

from services.mailroom import authenticity, domain, reading
from shared import context, errors, logs, rpc_wire

TAKEN = "250 2.0.0 Taken"
LATER = "451 4.3.0 Something that is needed is away; try again later"
REFUSED = "554 5.7.1 Not accepted where it was to go"
CIRCLES = "554 5.4.6 It has come through too many servers"
RPC_SECONDS = 8.0
ACTOR = context.Actor(kind="service", id="mailroom")
log = logs.logger(__name__)


class Accounts(Protocol):
    def call(self, service: str, method: str, /, *, timeout: float, **arguments: Any) -> Any:
        """As `shared.rpc_client.BlockingClient`."""


PassOn = Callable[[bytes, str], bool]
"""(mail, envelope sender): False if it was refused for good; raises OSError if it may work later."""


@dataclass(frozen=True, kw_only=True)
class Room:
    house: domain.House
    is_authentic: authenticity.Check
    accounts: Accounts
    pass_on: PassOn
    now: Callable[[], datetime]

    def receive(self, mail: bytes, *, envelope_sender: str, peer: str) -> str:
        """
        Deal with it.

        :returns: the reply in SMTP; the same whether it was a request or not
        """
        if domain.goes_in_circles(reading.received(mail)):
            log.warning("mail goes in circles", peer=peer)
            return CIRCLES
        found = reading.fields(mail)
        letter = None if found is None else reading.letter(found)
        try:
            if found is not None and letter is not None:
                delivery = authenticity.Delivery(mail, found, letter, peer)
                if self._is_request(delivery, envelope_sender) and self._hand_over(letter):
                    return TAKEN
            sender = domain.passed_on_from(letter, envelope_sender, self.house)
            taken = self.pass_on(self._trace(peer) + mail, sender)
        except (authenticity.Away, errors.Unavailable, rpc_wire.RemoteBug, OSError) as error:
            log.warning("a part is away", work="mailroom", error=type(error).__name__)
            return LATER
        log.info("mail passed on", size=len(mail), taken=taken)
        return TAKEN if taken else REFUSED

    def _trace(self, peer: str) -> bytes:
        """The one line that every server puts in front (RFC 5321, section 4.4), by which circles are found."""
        here, now = self.house.support_address.rpartition("@")[2], utils.format_datetime(self.now())
        return f"Received: from [{peer}] by {here} with ESMTP; {now}\r\n".encode()

    def _is_request(self, delivery: authenticity.Delivery, envelope_sender: str) -> bool:
        size, now = len(delivery.mail), self.now()
        reason = domain.why_not(delivery.letter, self.house, envelope_sender=envelope_sender, size=size, now=now)
        if reason == "subject":
            return False
        if not reason and not self.is_authentic(delivery):
            reason = "not authentic"
        log.info("deletion asked for by mail", refused=reason)
        return not reason

    def _hand_over(self, letter: domain.Letter) -> bool:
        """
        Ask accounts. The same mail is the same command, so a copy does nothing.

        :returns: whether it is an account's address
        """
        command_id = hashlib.sha256(f"{letter.message_id} {letter.sender}".encode()).hexdigest()
        try:
            with context.use(actor=ACTOR):
                answer = self.accounts.call(
                    "accounts",
                    "request_deletion_by_mail",
                    timeout=RPC_SECONDS,
                    command_id=f"mail_{command_id}",
                    email=letter.sender,
                )
        except errors.Conflict as error:  # at the same moment as its copy
            raise errors.Unavailable(error.code, error.message) from None
        except (errors.Invalid, errors.NotFound) as error:  # no address in the eyes of accounts
            log.info("deletion by mail refused", code=error.code)
            return False
        return bool(answer["known"])
