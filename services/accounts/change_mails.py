"""What accounts writes about a changed password or address. Pure; nothing that a stranger typed stands in it."""

from services.accounts.mails import Mail


def confirm_new_address(*, link: str, hours: int) -> Mail:
    return Mail(
        "Confirm your new e-mail address",
        f"""\
Hello,

somebody, probably you, wants to sign in to Chatness with this address from now on. To confirm that it is yours, open

{link}

and press the button there. The link is good for {hours} hour, and once.

If it was not you, do nothing: without the confirmation nothing changes.
""",
        action="Confirm the new address",
    )


def address_in_use() -> Mail:
    """To the owner of an address that somebody else wanted for their account."""
    return Mail(
        "Your address is used for a Chatness account already",
        """\
Hello,

somebody, probably you, wants to use this address for another Chatness account. It has an account of its own, and one
address can have only one. Nothing was changed.

If it was not you, there is nothing you need to do.
""",
    )


def address_changed(*, link: str, days: int) -> Mail:
    """To the address that was left."""
    return Mail(
        "The e-mail address of your account was changed",
        f"""\
Hello,

your Chatness account has another e-mail address since a moment ago. This one is no longer used to sign in.

If it was not you, open

{link}

and press the button there: the account gets this address back, everybody is signed out, and we mail you a link with
which you set another password. The link is good for {days} days, and once.
""",
        action="Undo the change",
    )


def password_replaced(*, reset_link: str) -> Mail:
    return Mail(
        "Your password was changed",
        f"""\
Hello,

the password of your Chatness account was changed a moment ago, by somebody who was signed in and knew the one before.
All other sessions were ended.

If it was not you, set another one at

{reset_link}
""",
        action="Set another password",
    )
