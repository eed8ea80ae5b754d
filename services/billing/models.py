"""Billing's own tables: what stands between us and Stripe, and the subscription as it is shown."""

from datetime import datetime

from sqlalchemy import Index, MetaData, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import activity, tables


class State(DeclarativeBase):
    """What no event holds."""

    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Views(DeclarativeBase):
    """What can be dropped and rebuilt from the events."""

    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Customer(State):
    """
    One row per org that was ever looked up or changed at Stripe: the lease for that, and where a bill can be paid.

    :param holder: whose lease it is; `lease_until` is by the database's clock, since business time can be moved
    """

    __tablename__ = "customers"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str | None] = mapped_column(unique=True)
    holder: Mapped[str]
    lease_until: Mapped[datetime]
    payment_url: Mapped[str]


class Intent(State):
    """
    A change that a person asked for, from before the first call to Stripe until its outcome is known.

    :param kind: `change` or `withdraw`
    :param state: `open`, `done`, `checkout` (a card is needed first), `declined` or `given_up`
    :param attempt: 0 while nothing that changes anything was sent; part of the idempotency key, so it goes up when
        Stripe has stored a failure under the former one
    :param code: why it was declined or given up
    """

    __tablename__ = "intents"
    __table_args__ = (Index("intents_to_finish", "created_at", postgresql_where=text("state = 'open'")),)

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    kind: Mapped[str]
    plan: Mapped[str]
    at: Mapped[str]
    state: Mapped[str]
    attempt: Mapped[int]
    code: Mapped[str]
    payment_url: Mapped[str]
    session_id: Mapped[str]
    created_at: Mapped[datetime]


class Checkout(State):
    """An open Checkout session; the row goes when it is replaced or the org has a paid plan."""

    __tablename__ = "checkouts"
    __table_args__ = (Index("checkouts_by_org", "org_id"),)

    session_id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    plan: Mapped[str]
    url: Mapped[str]
    expires_at: Mapped[datetime]


class Webhook(State):
    """A webhook is a hint: its id, so that it is stored once, and which object to look at. No payload."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("webhooks_by_age", "received_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    object_id: Mapped[str]
    customer_id: Mapped[str]
    received_at: Mapped[datetime]


class Errand(State):
    """
    Something that is done for all orgs together, by one at a time, and how far it is.

    :param lease_until: by the database's clock; `due_at`, `since` and `newest` are business time
    :param position: what the next step goes on after; empty: at the beginning
    :param since: what the errand before has got to
    :param newest: what this one will have got to when it is through
    """

    __tablename__ = "errands"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    lease_until: Mapped[datetime]
    due_at: Mapped[datetime]
    position: Mapped[str]
    since: Mapped[datetime | None]
    newest: Mapped[datetime | None]


class Duplicate(Views):
    """A second subscription that was canceled and refunded."""

    __tablename__ = "duplicates"
    __table_args__ = (Index("duplicates_by_org", "org_id", "ended_at"),)

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    plan: Mapped[str]
    refunded_cents: Mapped[int]
    currency: Mapped[str]
    ended_at: Mapped[datetime]


class Subscription(Views):
    """
    :param period_end: of the last period that was paid
    :param owed_plan: what the org comes back to when it pays
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("subscriptions_scheduled", "scheduled_at", postgresql_where=text("scheduled_at IS NOT NULL")),
        Index("subscriptions_in_grace", "grace_until", postgresql_where=text("status = 'past_due'")),
    )

    org_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    plan: Mapped[str]
    status: Mapped[str]
    message_limit: Mapped[int]
    bot_limit: Mapped[int]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    scheduled_plan: Mapped[str]
    scheduled_at: Mapped[datetime | None]
    owed_plan: Mapped[str]
    owing_since: Mapped[datetime | None]
    grace_until: Mapped[datetime | None]


class Activity(activity.Columns, Views):
    """What this service adds to an org's activity."""
