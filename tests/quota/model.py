"""
What should be: an org's messages as the product page tells them, in a few lines that share nothing with the ledger.

It decides by itself, and knows no event but what was asked: the programmes compare it with everything else.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=15)
RESETTING = ("started", "upgraded", "downgraded", "canceled")


@dataclass
class Credit:
    expires_at: datetime
    left: int


@dataclass
class Model:
    """
    :param taken: of each message that was admitted and not refunded, when and from what: a credit, or a count, which
        is a month and a generation
    """

    limit: int = 0
    count: tuple[str, int] = ("", 0)
    used: int = 0
    credits: dict[str, Credit] = field(default_factory=dict)
    taken: dict[str, tuple[datetime, object]] = field(default_factory=dict)
    subscribed: bool = False

    def at(self, now: datetime) -> None:
        """The month is the calendar's in UTC, and never goes back; a credit ends at its moment."""
        if (period := f"{now:%Y-%m}") > self.count[0]:
            self.count, self.used = (period, 0), 0
        self.credits = {id: credit for id, credit in self.credits.items() if credit.expires_at > now}

    def admit(self, message_id: str, now: datetime) -> bool:
        """The plan's messages come first, then those of the credit that ends first."""
        source: object = self.count
        if self.used < self.limit:
            self.used += 1
        elif filled := [(credit.expires_at, id) for id, credit in self.credits.items() if credit.left]:
            source = min(filled)[1]
            self.credits[source].left -= 1
        else:
            return False
        self.taken[message_id] = (now, source)
        return True

    def refund(self, message_id: str, now: datetime) -> bool:
        """Within its window; it gives back to the count or the credit that it came from, and to no other."""
        moment, source = self.taken[message_id]
        if now >= moment + WINDOW:
            return False
        if source == self.count:
            self.used -= 1
        elif source in self.credits:
            self.credits[str(source)].left += 1
        del self.taken[message_id]
        return True

    def change(self, limit: int, *, action: str, effective_period: str, max_resets: int) -> None:
        """What a person does to a subscription begins the count anew, so often a month and not the first time."""
        (period, generation), resets = self.count, action in RESETTING and self.subscribed
        if resets and effective_period >= period and generation < max_resets:
            self.count, self.used = (period, generation + 1), 0
        self.limit, self.subscribed = limit, True

    def grant(self, credit_id: str, messages: int, expires_at: datetime) -> None:
        self.credits[credit_id] = Credit(expires_at, messages)

    @property
    def numbers(self) -> dict[str, object]:
        """As answers have them."""
        credits_remaining = sum(credit.left for credit in self.credits.values())
        return {
            "period": self.count[0],
            "used": self.used,
            "limit": self.limit,
            "credits_remaining": credits_remaining,
            "remaining": max(0, self.limit - self.used) + credits_remaining,
        }
