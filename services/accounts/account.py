"""The rules of an account: it is registered once, and its profile changes. Pure."""

from dataclasses import dataclass
from typing import Any

from services.accounts.events import AccountEvent, AccountRegistered, EmailChanged, ProfileChanged
from shared import errors


@dataclass(frozen=True)
class Account:
    """:param account_id: empty before it is registered"""

    account_id: str = ""


def register(account: Account, *, account_id: str, profile_version: int) -> list[AccountEvent]:
    """:raises Conflict: `account_exists`"""
    if account.account_id:
        raise errors.Conflict("account_exists", "This account is registered already.")
    return [AccountRegistered(account_id=account_id, profile_version=profile_version)]


def change_profile(account: Account, *, profile_version: int) -> list[AccountEvent]:
    """:raises NotFound: `unknown_account`"""
    if not account.account_id:
        raise errors.NotFound("unknown_account", "There is no such account.")
    return [ProfileChanged(account_id=account.account_id, profile_version=profile_version)]


def change_email(account: Account, *, profile_version: int) -> list[AccountEvent]:
    """:raises NotFound: `unknown_account`"""
    if not account.account_id:
        raise errors.NotFound("unknown_account", "There is no such account.")
    return [EmailChanged(account_id=account.account_id, profile_version=profile_version)]


def evolve(account: Account, fact: Any) -> Account:
    match fact:
        case AccountRegistered():
            return Account(account_id=fact.account_id)
        case _:
            return account
