"""
A person's picture: personal data like the name, kept under a key that nobody can guess. The key is its public
address, stands in the profile for as long as the picture is there, and is never given again.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from services.accounts import account, projections, tokens
from shared import errors, personal, revisions, store

MOST_BYTES = 300_000


def decoded(webp: str) -> bytes:
    """:raises Invalid: `not_a_picture` for what the gateway has not made"""
    try:
        picture = base64.b64decode(webp, validate=True)
    except (binascii.Error, ValueError):
        picture = b""
    if not (picture[:4] == b"RIFF" and picture[8:12] == b"WEBP" and len(picture) <= MOST_BYTES):
        raise errors.Invalid("not_a_picture", f"This is no WebP of at most {MOST_BYTES} bytes.")
    return picture


def put(session: Session, account_id: str, webp: bytes, *, source: str) -> None:
    """
    Instead of the one before, whose address is dead then. The same once more changes nothing.

    :param source: the SHA-256 of what it was made of
    :raises NotFound: `unknown_account`, `erased`
    :raises Conflict: `precondition_failed`
    """
    profile = _locked(session, account_id)
    former = profile.get("picture", "")
    if former and personal.get(session, _id(former)).get("source") == source:
        return
    key = tokens.picture_key()
    kept = {"webp": base64.b64encode(webp).decode(), "revision": _revision(webp), "source": source}
    personal.put(session, _id(key), subject=account_id, **kept)
    _change(session, account_id, {**profile, "picture": key}, former=former)


def remove(session: Session, account_id: str) -> None:
    """
    :raises NotFound: `no_picture`, `unknown_account`
    :raises Conflict: `precondition_failed`
    """
    profile = _locked(session, account_id)
    former = profile.pop("picture", "")
    if not former:
        raise errors.NotFound("no_picture", "You have no picture.")
    _change(session, account_id, profile, former=former)


def show(session: Session, key: str, *, known: Sequence[str]) -> dict[str, Any]:
    """
    :returns: `{"revision", "webp"}`; the picture in base64, or None if its revision is one of those that are known
    :raises NotFound: `unknown_picture`
    """
    kept = personal.get(session, _id(key))
    if not kept:
        raise errors.NotFound("unknown_picture", "There is no such picture, or not any more.")
    is_known = kept["revision"] in known
    return {"revision": kept["revision"], "webp": None if is_known else kept["webp"]}


def _locked(session: Session, account_id: str) -> dict[str, Any]:
    """The profile, which nobody else changes now."""
    projections.lock_account(session, account_id)
    revisions.check(partial(projections.own_account, session, account_id))
    return personal.get(session, account_id)


def _change(session: Session, account_id: str, profile: dict[str, Any], *, former: str) -> None:
    if former:
        personal.remove(session, _id(former))
    profile_version = personal.put(session, account_id, subject=account_id, **profile)
    change = partial(account.change_profile, profile_version=profile_version)
    store.execute(session, projections.account_stream(account_id), projections.ACCOUNT, change)


def _id(key: str) -> str:
    return f"picture-{key}"


def _revision(webp: bytes) -> str:
    return hashlib.sha256(webp).hexdigest()[: revisions.LENGTH]
