"""The rules of an account: it is registered once, its profile changes, and one day it may be gone. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.accounts.events import (
    AccountErased,
    AccountEvent,
    AccountRegistered,
    DeletionConfirmed,
    DeletionWithdrawn,
    EmailChanged,
    ProfileChanged,
)
from shared import clock, errors


@dataclass(frozen=True)
class Account:
    """
    :param account_id: empty before it is registered
    :param is_leaving: whether a deletion is confirmed
    """

    account_id: str = ""
    is_leaving: bool = False
    is_erased: bool = False


def register(account: Account, *, account_id: str, profile_version: int) -> list[AccountEvent]:
    """:raises Conflict: `account_exists`"""
    if account.account_id:
        raise errors.Conflict("account_exists", "This account is registered already.")
    return [AccountRegistered(account_id=account_id, profile_version=profile_version)]


def change_profile(account: Account, *, profile_version: int) -> list[AccountEvent]:
    """:raises NotFound: `unknown_account`"""
    _check(account)
    return [ProfileChanged(account_id=account.account_id, profile_version=profile_version)]


def change_email(account: Account, *, profile_version: int) -> list[AccountEvent]:
    """:raises NotFound: `unknown_account`"""
    if not account.account_id:
        raise errors.NotFound("unknown_account", "There is no such account.")
    return [EmailChanged(account_id=account.account_id, profile_version=profile_version)]


def confirm_deletion(account: Account, *, erases_at: datetime) -> list[AccountEvent]:
    """:raises NotFound: `unknown_account`"""
    _check(account)
    if account.is_leaving:
        return []
    return [DeletionConfirmed(account_id=account.account_id, erases_at=clock.rfc3339(erases_at))]


def withdraw_deletion(account: Account, *, reason: str) -> list[AccountEvent]:
    """:param reason: see `DeletionWithdrawn`"""
    if not account.is_leaving or account.is_erased:
        return []
    return [DeletionWithdrawn(account_id=account.account_id, reason=reason)]


def erase(account: Account) -> list[AccountEvent]:
    """Once, and only what was there."""
    if not account.account_id or account.is_erased:
        return []
    return [AccountErased(account_id=account.account_id)]


def evolve(account: Account, fact: Any) -> Account:
    match fact:
        case AccountRegistered():
            return Account(account_id=fact.account_id)
        case DeletionConfirmed():
            return replace(account, is_leaving=True)
        case DeletionWithdrawn():
            return replace(account, is_leaving=False)
        case AccountErased():
            return replace(account, is_erased=True)
        case _:
            return account


def _check(account: Account) -> None:
    if not account.account_id or account.is_erased:
        raise errors.NotFound("unknown_account", "There is no such account.")
