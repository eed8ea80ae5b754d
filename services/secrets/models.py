"""What a presented secret is compared with, which no event holds; and the list that people see."""

from datetime import datetime

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import tables


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
    :param last_used_at: exact to a minute
    """

    __tablename__ = "digests"

    secret_id: Mapped[str] = mapped_column(primary_key=True)
    pepper_id: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    last_used_at: Mapped[datetime | None]


class Secret(Views):
    __tablename__ = "secrets"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    secret_id: Mapped[str] = mapped_column(primary_key=True, unique=True)
    made_by: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
