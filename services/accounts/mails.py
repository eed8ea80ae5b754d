"""
What accounts writes to people. Pure.

Nothing that a stranger typed stands in a mail to an address that is not confirmed: else anybody could have us send
their words to anybody.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mail:
    """
    :param text: all that it says; a link stands alone on its line
    :param action: what the button is called that the link becomes where mails are shown as HTML; see `letters`
    """

    subject: str
    text: str
    action: str = ""


def confirm_address(*, link: str, hours: int) -> Mail:
    return Mail(
        "Confirm your e-mail address",
        f"""\
Hello,

somebody, probably you, opened a Chatness account with this address. To confirm that it is yours, open

{link}

and press the button there. The link is good for {hours} hours.

If it was not you, do nothing: without the confirmation there is no account.
""",
        action="Confirm the address",
    )


def already_registered(*, sign_in_link: str) -> Mail:
    return Mail(
        "You have a Chatness account already",
        f"""\
Hello,

somebody, probably you, tried to open a Chatness account with this address. You have one already; nothing was changed.
You can sign in at

{sign_in_link}

If it was not you, there is nothing you need to do.
""",
        action="Sign in",
    )


def invited(*, link: str, days: int) -> Mail:
    """It names neither the org nor who invites: both are what somebody typed."""
    return Mail(
        "You are invited into an organization",
        f"""\
Hello,

somebody who uses Chatness invites you, by this address, into their organization. To see which it is, and to join it,
open

{link}

You need no account for it: if you have none, you can open one there. The link is good for {days} days, and once.

If you do not know what this is about, do nothing, and nothing happens.
""",
        action="See the invitation",
    )


def removed_from_org() -> Mail:
    return Mail(
        "You are no longer in an organization",
        """\
Hello,

the owner of an organization that you were in has removed you from it. Where you were signed in to it, you are signed
out. Your Chatness account stays: you can sign in with it as before.
""",
    )


def org_handed_over(*, account_link: str) -> Mail:
    return Mail(
        "You have handed over your organization",
        f"""\
Hello,

you have handed over your organization to another member, with your password. You are a member of it from now on; its
billing is for the new owner. You can leave it under

{account_link}

If it was not you, somebody knows your password: set another one, and write to us.
""",
        action="Your organization",
    )


def org_received(*, account_link: str) -> Mail:
    return Mail(
        "You own an organization now",
        f"""\
Hello,

the owner of an organization that you are in has handed it over to you. Its members and its billing are yours to look
after from now on. You find it at

{account_link}
""",
        action="Your organization",
    )


def reset_password(*, link: str, minutes: int) -> Mail:
    return Mail(
        "Set a new password",
        f"""\
Hello,

somebody, probably you, asked for a new password of your Chatness account. To set one, open

{link}

The link is good for {minutes} minutes, and once.

If it was not you, do nothing: your password stays as it is.
""",
        action="Set a new password",
    )


def messages_nearly_used(*, percent: int, used: int, limit: int, period: str, billing_link: str) -> Mail:
    return Mail(
        f"{percent} % of this month's messages are used",
        f"""\
Hello,

your organization has used {used:,} of the {limit:,} messages that its Chatness plan has for {period}.

When all are used, your bots stop until the first day of the next month (UTC). If you need more before, you can choose
a larger plan at

{billing_link}
""",
        action="Look at the plans",
    )


def messages_used_up(*, limit: int, period: str, credits_remaining: int, billing_link: str) -> Mail:
    then = (
        f"Your bots run on with the {credits_remaining:,} extra messages that you were granted. When those are used, "
        "they stop\nuntil the first day of the next month (UTC)."
        if credits_remaining
        else "Your bots have stopped, and new messages are refused until the first day of the next month (UTC)."
    )
    return Mail(
        "This month's messages are used up",
        f"""\
Hello,

your organization has used all {limit:,} messages that its Chatness plan has for {period}.

{then}

If you need more before, you can choose a larger plan at

{billing_link}
""",
        action="Look at the plans",
    )


def paid_twice(*, plan: str, kept: str, paid: bool, billing_link: str) -> Mail:
    """:param paid: whether something was paid by card, and goes back to it"""
    refund = (
        " What you paid for it goes back to\nthe card you used; banks take up to ten days to show it." if paid else ""
    )
    return Mail(
        "You had two subscriptions; one was canceled",
        f"""\
Hello,

your organization had two Chatness subscriptions at the same time, as happens when a plan is paid in two windows.

The second one, of the plan {plan}, was canceled.{refund}

The first one, of the plan {kept}, goes on as it is. You find both, with their invoices, at

{billing_link}
""",
        action="Billing Management",
    )


def secret_leaked(*, is_former: bool, secrets_link: str) -> Mail:
    """:param is_former: whether it was a value that had been replaced by another already"""
    done = (
        "It was the value before the\nlast rotation, and is refused from now on. The present value works as before."
        if is_former
        else "It is revoked: programs\nthat use it are refused from now on, and need another secret."
    )
    return Mail(
        "An API secret of yours was found in public",
        f"""\
Hello,

somebody found an API secret of your organization where others can read it, and reported it to us. {done}

Whoever saw it before could act in the name of your organization. Look at what it was used for; which secret it is,
and where it was found if that was said, stands at

{secrets_link}
""",
        action="Look at the secret",
    )


def secret_expires(*, at: str, secrets_link: str) -> Mail:
    return Mail(
        f"An API secret of yours expires on {at}",
        f"""\
Hello,

an API secret of your organization expires on {at}. Programs that still use it then are refused.

Which one it is, and when it was last used, stands at

{secrets_link}

If programs need one after that day, make another there and give it to them before. If not, there is nothing to do.
""",
        action="Look at the secret",
    )


def password_changed(*, reset_link: str) -> Mail:
    return Mail(
        "Your password was changed",
        f"""\
Hello,

the password of your Chatness account was changed a moment ago, and whoever was signed in with it was signed out.

If it was not you, somebody can read your mail: change the password of your mailbox first, then set another here at

{reset_link}
""",
        action="Set another password",
    )


def confirm_deletion(*, link: str, minutes: int) -> Mail:
    return Mail(
        "Confirm that your account is to be deleted",
        f"""\
Hello,

somebody, probably you, asked us to delete your Chatness account and all of its data. To confirm it, open

{link}

and press the button there. The link is good for {minutes} minutes. Opening it deletes nothing.

If it was not you, do nothing, and nothing is deleted; and choose another password, since somebody knows yours.
""",
        action="Confirm the deletion",
    )


def confirm_mailed_deletion(*, link: str, minutes: int) -> Mail:
    return Mail(
        "Confirm that your account is to be deleted",
        f"""\
Hello,

a mail from this address asked us to delete your Chatness account and all of its data. To confirm it, open

{link}

and press the button there. The link is good for {minutes} minutes. Opening it deletes nothing.

If it was not you, do nothing, and nothing is deleted; but somebody can write mails in your name: change the password
of your mailbox.
""",
        action="Confirm the deletion",
    )


def hand_over_first(*, account_link: str) -> Mail:
    return Mail(
        "Your account cannot be deleted yet",
        f"""\
Hello,

a mail from this address asked us to delete your Chatness account. Nothing was deleted, since you own an organization
that others are in. Hand it over to one of them, or remove them, and ask again by mail or at

{account_link}

If it was not you, somebody can write mails in your name: change the password of your mailbox.
""",
        action="Leaving, in Your Account",
    )


def deletion_confirmed(*, erases_on: str, withdraw_link: str) -> Mail:
    """:param erases_on: day and time, in UTC"""
    return Mail(
        "Your account will be deleted",
        f"""\
Hello,

you confirmed that your Chatness account is to be deleted. That happens on {erases_on} (UTC).

Until then everything works as before, and you can change your mind: open

{withdraw_link}

and press the button there, or withdraw it under Your Account, Leaving.

Then all goes, for good: your name, address and password; and if you are alone in your organization, its subscription,
secrets, bots and usage too. Invoices stay with our payment provider, as tax law asks.
""",
        action="Change your mind",
    )


def deletion_withdrawn() -> Mail:
    return Mail(
        "Your account will not be deleted",
        """\
Hello,

the deletion of your Chatness account was withdrawn. Everything stays as it is.
""",
    )


def deletion_refused(*, account_link: str) -> Mail:
    return Mail(
        "Your account could not be deleted",
        f"""\
Hello,

the time had come to delete your Chatness account, as you had confirmed. It could not be done, and nothing was
deleted: you own an organization that others are in. Hand it over to one of them under Your Account, Org, or remove
them there, and ask again at

{account_link}
""",
        action="Leaving, in Your Account",
    )


def erased() -> Mail:
    return Mail(
        "Your account is deleted",
        """\
Hello,

your Chatness account is deleted, with all of its data. Invoices stay with our payment provider, as tax law asks.

This is the last mail that you get from us: we do not have your address any more. With it you can open another account
at any time.
""",
    )
