"""The org's row, which every quota transaction locks first; the messages that were admitted; the bots as shown."""

from datetime import datetime
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import activity, tables


class State(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Views(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Org(State):
    """
    quota's consistency boundary: the open month's state, so that a decision costs the same however full it is.

    :param threshold: the highest that was told of this month and limit, in percent
    :param credits: those that have not expired, the first to expire first
    :param ledger_version: with `ledger_hash`, the head of the open month's stream
    """

    __tablename__ = "orgs"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str]
    plan: Mapped[str]
    message_limit: Mapped[int]
    bot_limit: Mapped[int]
    max_resets: Mapped[int]
    subscription_version: Mapped[int]
    generation: Mapped[int]
    used: Mapped[int]
    stopped: Mapped[bool]
    threshold: Mapped[int]
    credits: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    ledger_version: Mapped[int]
    ledger_hash: Mapped[bytes]


class Message(State):
    """
    An admission, by the id that the caller gave: asked again, it gets this answer. Kept for three months.

    :param credit_id: the credit that it was taken from; empty: from the plan's own messages
    :param credits_remaining: how many messages credits had after it
    """

    __tablename__ = "messages"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(primary_key=True)
    bot_id: Mapped[str]
    period: Mapped[str]
    generation: Mapped[int]
    used: Mapped[int]
    message_limit: Mapped[int]
    credit_id: Mapped[str]
    credits_remaining: Mapped[int]
    recorded_at: Mapped[datetime]
    refunded_at: Mapped[datetime | None]


class Bot(Views):
    __tablename__ = "bots"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    bot_id: Mapped[str] = mapped_column(primary_key=True)
    reasons: Mapped[list[str]]
    created_at: Mapped[datetime]


class UsageMonth(Views):
    """
    A month of the ledger that is over or open; what was counted in it is the sum of its days.

    :param resets: how often usage was reset in it
    :param reset_used: what these resets have taken off the count, together
    :param credits: the messages that credits brought to it: carried over, granted and given back, less what expired
    """

    __tablename__ = "usage_months"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    plan: Mapped[str]
    message_limit: Mapped[int]
    resets: Mapped[int]
    reset_used: Mapped[int]
    credits: Mapped[int]


class UsageDay(Views):
    """
    What one bot's messages were on one day in UTC, in the month whose ledger has them.

    :param messages: how many were counted; `from_credits`: how many of these were taken from credits
    :param refunded: how many refunds there were; `given_back`: how many of these lowered the count
    """

    __tablename__ = "usage_days"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    bot_id: Mapped[str] = mapped_column(primary_key=True)
    messages: Mapped[int]
    from_credits: Mapped[int]
    refunded: Mapped[int]
    given_back: Mapped[int]


class Activity(activity.Columns, Views):
    """What this service adds to an org's activity."""
