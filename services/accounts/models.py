"""Credentials, sessions, registrations and resets, which no event holds; and who is where, as the events tell it."""

from datetime import datetime

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import activity, tables


class State(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Views(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Registration(State):
    """
    A wish to open an account, until its address is confirmed or it expires. One address may have several.

    :param email: the address's key; `typed_email` is what is shown
    :param account_id: set when it was confirmed, so that the same token answers the same again
    """

    __tablename__ = "registrations"

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
    typed_email: Mapped[str]
    name: Mapped[str]
    org_name: Mapped[str]
    password_hash: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    account_id: Mapped[str | None]
    org_id: Mapped[str | None]


class Credential(State):
    """:param email: the address's key: one mailbox opens one account"""

    __tablename__ = "credentials"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    typed_email: Mapped[str]
    password_hash: Mapped[str]
    changed_at: Mapped[datetime]


class PasswordReset(State):
    """A mailed link that may set the account's password, until it is used or expires."""

    __tablename__ = "password_resets"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(index=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class EmailChange(State):
    """
    A wish for another address, until it is confirmed or expires; then, for a while, the way back.

    :param new_email: the address's key, as `old_email`; `new_typed` and `old_typed` are what is shown
    :param token_hash: of what was mailed to the new address; None once it was used
    :param undo_hash: of what was mailed to the old one, once the change has happened
    :param session_id: which asked for it, and which it does not end
    :param expires_at: of the wish; of the way back once it has happened
    """

    __tablename__ = "email_changes"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(index=True)
    session_id: Mapped[str]
    old_email: Mapped[str]
    old_typed: Mapped[str]
    new_email: Mapped[str]
    new_typed: Mapped[str]
    token_hash: Mapped[bytes | None] = mapped_column(unique=True)
    undo_hash: Mapped[bytes | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Invitation(State):
    """
    A mailed link with which whoever has the address may join the org.

    :param email: the address's key; `typed_email` is what is shown
    :param state: `open`, `withdrawn` or `accepted`. It is kept until it would have expired, since it counts till then
    """

    __tablename__ = "invitations"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str] = mapped_column(index=True)
    email: Mapped[str] = mapped_column(index=True)
    typed_email: Mapped[str]
    state: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Throttle(State):
    """How often something was tried until its window ends. :param key: an HMAC of what is counted, and of whom"""

    __tablename__ = "throttles"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    taken: Mapped[int]
    most: Mapped[int]
    ends_at: Mapped[datetime] = mapped_column(index=True)


class Familiar(State):
    """A client from which somebody has signed in. :param key: an HMAC of both addresses"""

    __tablename__ = "familiar_clients"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(index=True)


class SignedIn(State):
    """A session. `last_used_at` is exact to a minute."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(index=True)
    org_id: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    user_agent: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Deletion(State):
    """
    Somebody wants to leave, until they withdraw it or their erasure begins.

    :param state: `requested` while the mailed link waits, `confirmed` while it can still be withdrawn
    :param token_hash: of the link that confirms; `withdrawal_hash` of the one that withdraws
    :param expires_at: of the link that confirms
    """

    __tablename__ = "deletions"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    withdrawal_hash: Mapped[bytes | None] = mapped_column(unique=True)
    requested_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    erases_at: Mapped[datetime | None] = mapped_column(index=True)


class Erasure(State):
    """
    A person who is gone, until all services have erased the orgs that went along.

    :param farewell: the address to which it is said that it is done: the last thing that we have of them
    """

    __tablename__ = "erasures"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    begun_at: Mapped[datetime]
    farewell: Mapped[str]


class ErasureOrg(State):
    """An org that went along with a person."""

    __tablename__ = "erasure_orgs"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(index=True)


class ErasureReport(State):
    """A service has nothing of an org any more."""

    __tablename__ = "erasure_reports"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    reported_at: Mapped[datetime]


class OperatorAct(State):
    """
    Somebody at the command line looked for somebody or ended sessions. What was typed is not kept.

    :param act: `find_org` or `end_sessions`
    :param account_id: whom it was about; empty if nobody was found
    :param operator: who did it
    :param reason: why; it goes with the person, and what was done stays
    """

    __tablename__ = "operator_acts"

    id: Mapped[str] = mapped_column(primary_key=True)
    act: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    operator: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class Account(Views):
    __tablename__ = "accounts"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    profile_version: Mapped[int]
    registered_at: Mapped[datetime]


class Org(Views):
    __tablename__ = "orgs"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str]
    profile_version: Mapped[int]
    founded_at: Mapped[datetime]


class Suspended(Views):
    """The kernel's table, which in accounts can be rebuilt like the others: see `shared.suspensions`."""

    __tablename__ = "suspended"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    cause: Mapped[str]
    suspended_at: Mapped[datetime]


class Member(Views):
    __tablename__ = "members"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    role: Mapped[str]
    joined_at: Mapped[datetime]


class Activity(activity.Columns, Views):
    """What this service adds to an org's activity."""
