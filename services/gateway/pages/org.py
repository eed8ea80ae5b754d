"""Your Account, Org: details, members, invitations, handing over, and the other orgs one is in."""

from typing import Any

import flask
from flask import g
from wtforms import EmailField, PasswordField, SelectField, StringField, TextAreaField  # type: ignore[import-untyped]

from services.gateway.pages import cookies, forms, views
from services.gateway.pages.welcome import needed
from shared import context

pages = views.Pages("pages_org", __name__)

MOST_MEMBERS = 100


class Org(forms.Form):
    name = StringField("Name", [needed], render_kw={"autocomplete": "organization", "maxlength": 100})
    legal_name = StringField("Legal name", render_kw={"maxlength": 200})
    address = TextAreaField("Address", render_kw={"rows": 4, "maxlength": 500, "autocomplete": "street-address"})
    tax_id = StringField("Tax ID", render_kw={"maxlength": 50})
    billing_email = EmailField("Billing email", description="For our support. No mail goes there yet.")

    @property
    def texts(self) -> dict[str, str]:
        return {name: self[name].data or "" for name in ("name", "legal_name", "address", "tax_id", "billing_email")}


class Invite(forms.Form):
    email = EmailField("Email", [needed], render_kw={"autocomplete": "off"})


class HandOver(forms.Form):
    account_id = SelectField("New owner", [needed], validate_choice=False)
    password = PasswordField("Your password", [needed], render_kw={"autocomplete": "current-password"})


class Another(forms.Form):
    name = StringField("Name", [needed], id="another", render_kw={"autocomplete": "off", "maxlength": 100})


@pages.view("/account/org", permission="org:read")
def show_org() -> Any:
    """The owner may change it, a member sees its name."""
    return _page()


@pages.view("/account/org", permission="org:write", methods=["POST"])
def change_org() -> Any:
    form = Org()
    if form.is_sent:
        with form.refusals():
            g.services.accounts.change_org(command_id=forms.command_id(), **form.texts)
            return _done("Your organization's details are changed.")
    return _page(details=form)


@pages.view("/account/org/invitations", permission="org:manage", methods=["POST"])
def invite() -> Any:
    form = Invite()
    if form.is_sent:
        with form.refusals():
            shown = g.services.accounts.invite(command_id=forms.command_id(), email=form.email.data)
            return _done(f"A mail with a link is on its way to {shown['email']}.")
    return _page(invite=form)


@pages.view("/account/org/invitations/<invitation_id>/withdraw", permission="org:manage", methods=["POST"])
def withdraw_invitation(invitation_id: str) -> Any:
    with forms.Flashed("The invitation is withdrawn: its link does not work any more."):
        g.services.accounts.withdraw_invitation(command_id=forms.command_id(), invitation_id=invitation_id)
    return views.see_other("/account/org")


@pages.view("/account/org/members/<account_id>/remove", permission="org:manage", methods=["POST"])
def remove_member(account_id: str) -> Any:
    with forms.Flashed("They are removed, and signed out of your organization."):
        g.services.accounts.remove_member(command_id=forms.command_id(), account_id=account_id)
    g.authentication.forget_sessions()
    return views.see_other("/account/org")


@pages.view("/account/org/leave", permission="members:remove", methods=["POST"])
def leave_org() -> Any:
    """The session ends with it, so that nobody goes on in an org that they have not chosen."""
    with forms.Flashed("You have left the organization. Sign in to go on in another one."):
        account_id = context.current().actor.id
        g.services.accounts.remove_member(command_id=forms.command_id(), account_id=account_id)
    g.authentication.forget_sessions()
    return views.see_other("/account/org")


@pages.view("/account/org/owner", permission="org:manage", methods=["POST"])
def hand_over() -> Any:
    form = HandOver()
    if form.is_sent:
        with form.refusals():
            account_id, password = form.account_id.data, form.password.data
            g.services.accounts.hand_over_org(command_id=forms.command_id(), account_id=account_id, password=password)
            g.authentication.forget_sessions()
            return _done("The organization has a new owner. You are a member of it now, and may leave it.")
    return _page(owner=form)


@pages.view("/account/orgs", permission="account:manage", methods=["POST"])
def found_org() -> Any:
    form = Another()
    if form.is_sent:
        with form.refusals():
            founded = g.services.accounts.found_org(command_id=forms.command_id(), name=form.name.data)
            return _done(f"{founded['name']} is founded. Switch to it below.")
    return _page(another=form)


@pages.view("/account/orgs/<org_id>/switch", permission="account:manage", methods=["POST"])
def switch_org(org_id: str) -> Any:
    """With another token, since a token acts in one org."""
    response = views.see_other("/account/org")
    with forms.Flashed() as switched:
        answer = g.services.accounts.switch_org(org_id=org_id)
        cookies.keep(response, answer["token"])
        switched.done = f"You act in {answer['org']['name']} now."
    g.authentication.forget_sessions()
    return response


def _done(said: str) -> Any:
    flask.flash(said, "success")
    return views.see_other("/account/org")


def _page(**sent: forms.Form) -> Any:
    """:param sent: the form that was refused, by its name in the template; the others are shown fresh"""
    accounts, actor = g.services.accounts, context.current().actor
    org, members = accounts.get_org(), accounts.list_members(limit=MOST_MEMBERS)
    others = [one for one in members if one["account_id"] != actor.id]
    shown = forms_of(org) | sent
    shown["owner"].account_id.choices = [(one["account_id"], one["name"]) for one in others]
    return forms.answer(
        "pages/account/org.html",
        next(iter(sent.values()), shown["details"]),
        forms=shown,
        org=org,
        orgs=accounts.list_orgs(),
        members=members,
        others=others,
        invitations=accounts.list_invitations() if actor.role == "owner" else [],
        most=MOST_MEMBERS,
    )


def forms_of(org: dict[str, Any]) -> dict[str, Any]:
    """The forms of the page, as nobody has sent them yet."""
    return {
        "details": Org(formdata=None, data=org),
        "invite": Invite(formdata=None),
        "owner": HandOver(formdata=None),
        "another": Another(formdata=None),
    }
