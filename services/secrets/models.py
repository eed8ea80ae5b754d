"""What a presented secret is compared with, which no event holds; and the list that people see."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, MetaData, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import activity, tables


class State(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Views(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Digest(State):
    """
    :param digest: HMAC of the value's SHA-256 under the pepper `pepper_id`
    :param hint: what the list shows of the value: its beginning and its last four characters
    :param last_used_at: exact to an hour
    """

    __tablename__ = "digests"

    secret_id: Mapped[str] = mapped_column(primary_key=True)
    pepper_id: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    last_used_at: Mapped[datetime | None]


class FormerDigest(State):
    """
    The value before the newest, while both work.

    :param works_until: it is refused at this moment
    """

    __tablename__ = "former_digests"

    secret_id: Mapped[str] = mapped_column(ForeignKey(Digest.secret_id, ondelete="CASCADE"), primary_key=True)
    pepper_id: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    works_until: Mapped[datetime]


class Secret(Views):
    """:param expiry_told_at: when its people were told that it expires soon"""

    __tablename__ = "secrets"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    secret_id: Mapped[str] = mapped_column(primary_key=True, unique=True)
    made_by: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None]
    expiry_told_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "secrets_to_expire", "expires_at", postgresql_where=text("revoked_at IS NULL AND expiry_told_at IS NULL")
        ),
    )


class Activity(activity.Columns, Views):
    """What this service adds to an org's activity."""
