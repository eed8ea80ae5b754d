"""Somebody leaves, the whole way: by the doors, through every service and Stripe, whatever kills the workers."""

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ops import client, processes
from sandbox import mail
from sandbox.rabbitmq import RabbitmqServer
from tests.gateway import images
from tests.infrastructure import NewDatabase
from tests.stack import browser
from tests.stack.stacks import PASSWORD, Org, Running, eventually, standing, temporary_directory
from tests.stack.traces import dump, found_in, queued, restore, rows_of, stripe_knows

KILLED_AT = (
    *("erasure.begun", "outbox.sequenced", "relay.published", "inbox.applied", "inbox.committed"),
    *("job.claimed", "erasure.step", "erasure.step:3", "job.effected"),
)
GONE_SECONDS = 60


@pytest.fixture(scope="module")
def at_once(new_database: NewDatabase, new_vhost: Callable[[], str]) -> Iterator[Running]:
    """A stack without a cooling-off time; its worker is started by the tests."""
    urls = {f"{name.upper()}_DATABASE_URL": new_database() for name in processes.SERVICES}
    with temporary_directory() as directory, standing(directory, urls={**urls, "AMQP_URI": new_vhost()}) as running:
        running.add_composed("mail", "stripe", "services", "gateway", ACCOUNTS_COOLING_OFF_HOURS="0")
        running.add_composed("worker")
        running.await_ready()
        yield running


def canary_org(stack: Running) -> tuple[Org, tuple[str, ...]]:
    """
    On a paid plan, with texts everywhere that a person may write one, and a picture; and these texts, the picture's
    key, and a piece of it as it is kept.
    """
    mark = f"canary{time.time_ns()}"
    email = f"{mark}@example.com"
    org = stack.sign_up(email=email, name=f"{mark} Lovelace", org_name=f"{mark} Engines")
    assert org.owner.ask("PATCH", "/v1/org", {"address": f"1 {mark} Street", "billing_email": email}).ok
    assert org.owner.ask("POST", "/v1/bots", {"name": f"{mark} bot"}).status_code in (201, 409)
    named = {"name": f"{mark} secret", "scopes": ["usage:read"]}
    assert org.owner.ask("POST", "/v1/secrets", named, headers={"Idempotency-Key": f"{mark}-key"}).status_code == 201
    org.subscribe("starter", limit=2000)
    assert org.send(f"{mark}-message").status_code == 201
    return org, (mark, email, *set_picture(org))


def set_picture(org: Org) -> tuple[str, str]:
    """Gives its key, and a piece of it as it is kept."""
    sent = images.noise("JPEG", (64, 64))
    answer = org.owner.ask("PUT", "/v1/account/picture", sent, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200, answer.text
    shown = requests.get(answer.json()["picture_url"], timeout=client.TIMEOUT_SECONDS)
    return answer.json()["picture_url"].rpartition("/")[2], base64.b64encode(shown.content).decode()[400:480]


def leave(org: Org, *, password: str = PASSWORD) -> None:
    """Ask with the password, and press the button behind the mailed link."""
    asked = org.owner.ask("POST", "/v1/account/deletion", {"password": password})
    assert (asked.status_code, asked.json()["state"]) == (202, "requested")
    token = eventually(lambda: deletion_token(org, "confirm-deletion"), "no mail came")
    confirmed = org.stack.api.ask("POST", "/v1/deletion-confirmations", {"token": token})
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "confirmed"), confirmed.text


def deletion_token(org: Org, page: str) -> str | None:
    letters = [one for one in mail.read(org.stack.mail_folder) if f"/{page}?token=" in one["text"]]
    return client.token_in(letters, to=org.email)


def let_the_time_pass(org: Org) -> None:
    """The clock is everybody's, so the end of the cooling-off time comes to us."""
    account_id = org.owner.ask("GET", "/v1/account").json()["id"]
    ended = "UPDATE deletions SET erases_at = '2026-01-01Z' WHERE account_id = :id RETURNING 1"
    assert org.stack.rows("accounts", ended, id=account_id)


def is_erased(stack: Running, account_id: str) -> bool:
    told = "SELECT 1 FROM log JOIN events USING (stream, version) WHERE stream = :stream AND name = :name"
    return bool(stack.rows("accounts", told, stream=f"account-{account_id}", name="accounts.AccountErased"))


def stripes(stack: Running, org: Org) -> tuple[list[str], list[bool]]:
    """The states of the org's subscriptions there, and whether its customers are deleted."""
    customers = "SELECT data FROM events WHERE name = 'billing.CustomerLinked' AND stream = :stream"
    rows = stack.rows("billing", customers, stream=f"subscription-{org.id}")
    ids = [bytes(row.data).decode().partition("cus_")[2].partition('"')[0] for row in rows]
    everything: dict[str, list[Any]] = stack.stripe("state")
    ours = [one for one in everything["subscription"] if one["customer"].removeprefix("cus_") in ids]
    gone = [one.get("deleted", False) for one in everything["customer"] if one["id"].removeprefix("cus_") in ids]
    return [one["status"] for one in ours], gone


def test_nothing_is_left_of_who_has_left(stack: Running, rabbitmq: RabbitmqServer) -> None:
    bystander = stack.sign_up()
    bystander.send("a-message")
    org, canaries = canary_org(stack)
    changed = {"current_password": PASSWORD, "new_password": f"{canaries[0]} opens it"}
    assert org.owner.ask("PUT", "/v1/account/password", changed).status_code == 204
    account_id = org.owner.ask("GET", "/v1/account").json()["id"]
    assert found_in(dump(stack, "accounts"), canaries) == list(canaries)
    address = org.owner.ask("GET", "/v1/account").json()["picture_url"]
    held = [service for service in processes.SERVICES if found_in(dump(stack, service), canaries)]
    assert held == ["accounts", "secrets", "quota"]
    stack.rows("accounts", "DELETE FROM commands WHERE actor = 'anyone::' RETURNING 1")
    others = eventually(lambda: settled_rows(stack, bystander), "the bystander's rows do not settle")

    leave(org, password=changed["new_password"])
    eventually(lambda: deletion_token(org, "withdraw-deletion"), "no mail said when")
    let_the_time_pass(org)
    eventually(lambda: is_erased(stack, account_id), "the account was not erased", seconds=GONE_SECONDS)

    assert org.owner.ask("GET", "/v1/account").status_code == 401
    assert org.program.ask("GET", "/v1/usage").status_code == 401
    assert requests.get(address, timeout=client.TIMEOUT_SECONDS).status_code == 404
    assert stack.api.ask("POST", "/v1/sessions", {"email": org.email, "password": PASSWORD}).status_code == 401
    assert stripes(stack, org) == (["canceled"], [True])
    eventually(lambda: "Your account is deleted" in subjects(stack, org.email), "no last mail came")
    stack.rows("accounts", "DELETE FROM commands WHERE actor = 'anyone::' RETURNING 1")  # a day later they are pruned
    eventually(lambda: not_held(stack, canaries), "somebody still has something")
    assert found_in(stripe_knows(stack), canaries) == []
    assert found_in(queued(stack, rabbitmq), canaries) == []
    logs = "".join(path.read_text() for path in (stack.directory / "logs").glob("*.log") if path.stem != "mail")
    assert found_in(logs, canaries) == []
    assert rows_of(stack, bystander.id) == others
    for command in (("events", "verify"), ("projections", "diff"), ("projections", "rebuild", "--execute")):
        services = processes.SERVICES if command[0] == "projections" else ()
        done = stack.run(*command, *services)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not_held(stack, canaries)
    assert rows_of(stack, bystander.id) == others

    assert founded_again(stack, org.email) != org.id


def settled_rows(stack: Running, org: Org) -> dict[str, list[str]]:
    """Once what was told of the org has been heard everywhere; empty before."""
    before = rows_of(stack, org.id)
    time.sleep(1.0)
    return before if rows_of(stack, org.id) == before else {}


def founded_again(stack: Running, email: str) -> str:
    """The org of whoever signs up with the address that is free again."""
    letters = len(subjects(stack, email))
    wanted = {"name": "Grace", "email": email, "password": PASSWORD}
    assert stack.api.ask("POST", "/v1/accounts", wanted).status_code == 202
    eventually(lambda: len(subjects(stack, email)) > letters, "no mail came")
    token = client.mailed_token(stack.mail_folder, to=email)
    opened = stack.api.ask("POST", "/v1/email-confirmations", {"token": token})
    assert opened.status_code == 200, opened.text
    return str(opened.json()["org"]["id"])


def subjects(stack: Running, email: str) -> list[str]:
    return [one["subject"] for one in mail.read(stack.mail_folder) if one["to"] == email]


def not_held(stack: Running, canaries: tuple[str, ...]) -> bool:
    return not any(found_in(dump(stack, service), canaries) for service in processes.SERVICES)


def test_a_worker_that_is_killed_again_and_again_erases_all_the_same(at_once: Running) -> None:
    org, canaries = canary_org(at_once)
    account_id = org.owner.ask("GET", "/v1/account").json()["id"]
    worker = at_once.processes["worker"]
    worker.kill()
    token = confirm_without_a_worker(org)

    for number, place in enumerate(KILLED_AT):
        worker.environment["CHATNESS_FAIL_AT"] = place
        worker.start()
        eventually(lambda: not worker.lives, f"{place} was not reached", seconds=GONE_SECONDS)
        at_once.clock.set(offset_seconds=200.0 * (number + 1))  # leases of jobs have run out
        at_once.rows("billing", "UPDATE customers SET lease_until = to_timestamp(0) RETURNING 1")
        for (
            service
        ) in processes.SERVICES:  # an event that is there at three deaths is parked, and it kills nobody here
            at_once.rows(service, "UPDATE inbox SET attempts = 0 RETURNING 1")
    del worker.environment["CHATNESS_FAIL_AT"]
    worker.restart()

    eventually(lambda: is_erased(at_once, account_id), "the account was not erased", seconds=GONE_SECONDS)
    assert stripes(at_once, org) == (["canceled"], [True])
    late = at_once.api.ask("POST", "/v1/deletion-confirmations", {"token": token})
    assert (late.status_code, late.json()["code"]) == (422, "invalid_token")
    told = "SELECT name FROM events WHERE name LIKE '%Erased' OR name LIKE '%ErasureDone'"
    names = sorted(row.name for service in processes.SERVICES for row in at_once.rows(service, told))
    assert names == [
        "accounts.AccountErased",
        "accounts.OrgErased",
        "billing.ErasureDone",
        "billing.SubscriptionErased",
        "quota.ErasureDone",
        "secrets.ErasureDone",
        *["secrets.SecretErased"] * 2,
    ]
    at_once.rows("accounts", "DELETE FROM commands WHERE actor = 'anyone::' RETURNING 1")
    eventually(lambda: not_held(at_once, canaries), "somebody still has something")


def test_what_the_register_names_is_gone_when_the_doors_open(at_once: Running) -> None:
    """Erased, and written down; then all databases are put back to a backup from before."""
    register = at_once.directory / "erased.jsonl"
    names = ("services", "worker")
    for name in names:
        at_once.processes[name].stop()
        at_once.processes[name].environment["CHATNESS_ERASED_REGISTER"] = str(register)
        at_once.processes[name].restart()
    org, canaries = canary_org(at_once)
    account_id = org.owner.ask("GET", "/v1/account").json()["id"]
    backups = {service: dump(at_once, service) for service in processes.SERVICES}
    leave(org)
    eventually(
        lambda: register.exists() and all(id in register.read_text() for id in (account_id, org.id)),
        "it was not written down",
        seconds=GONE_SECONDS,
    )

    for name in names:
        at_once.processes[name].stop()
    for service, backup in backups.items():
        restore(at_once, service, backup)
    assert not not_held(at_once, canaries)
    for name in names:
        at_once.processes[name].restart()

    assert org.owner.ask("GET", "/v1/account").status_code == 401
    assert org.program.ask("GET", "/v1/usage").status_code == 401
    assert at_once.api.ask("POST", "/v1/sessions", {"email": org.email, "password": PASSWORD}).status_code == 401
    eventually(lambda: stripes(at_once, org) == (["canceled"], [True]), "it is still paid for")
    at_once.rows("accounts", "DELETE FROM commands WHERE actor = 'anyone::' RETURNING 1")
    eventually(lambda: not_held(at_once, canaries), "somebody still has something", seconds=GONE_SECONDS)


def confirm_without_a_worker(org: Org) -> str:
    """The mail waits in its job."""
    assert org.owner.ask("POST", "/v1/account/deletion", {"password": PASSWORD}).status_code == 202
    waiting = "SELECT payload->>'text' AS text FROM jobs WHERE state = 'waiting' AND kind = 'accounts.mail'"
    [row] = org.stack.rows("accounts", waiting)
    token = client.token_in([{"to": org.email, "text": row.text}], to=org.email)
    assert token
    confirmed = org.stack.api.ask("POST", "/v1/deletion-confirmations", {"token": token})
    assert confirmed.status_code == 200, confirmed.text
    return token


def test_a_person_leaves_by_the_page_and_stays_after_all(stack: Running) -> None:
    org = stack.sign_up()
    with browser.browser() as chromium:
        visitor = browser.Visitor(chromium, stack.url)
        visitor.go("/account/leaving")
        visitor.fill(email=org.email, password=PASSWORD)
        visitor.submit("Sign in")
        visitor.look("leaving")
        visitor.fill(password="not the password at all")
        visitor.submit("Delete my account")
        visitor.text("This is not your password.")
        visitor.look("leaving-refused")
        visitor.fill(password=PASSWORD)
        visitor.submit("Delete my account")
        visitor.text("A mail is on its way to")
        visitor.look("leaving-requested")

        token = eventually(lambda: deletion_token(org, "confirm-deletion"), "no mail came")
        visitor.go(f"/confirm-deletion?token={token}")
        visitor.look("confirm-deletion")
        assert org.owner.ask("GET", "/v1/account/deletion").json()["state"] == "requested"
        visitor.press("Delete my account")
        visitor.heading("Your account will be deleted")
        visitor.look("deletion-confirmed")
        visitor.go("/account/leaving")
        visitor.text("Your account will be deleted on")
        visitor.look("leaving-confirmed")

        token = eventually(lambda: deletion_token(org, "withdraw-deletion"), "no mail said when")
        visitor.go(f"/withdraw-deletion?token={token}")
        visitor.look("withdraw-deletion")
        visitor.go("/account/leaving")
        visitor.press("Keep my account")
        visitor.text("You stay: nothing will be deleted.")
        visitor.go(f"/withdraw-deletion?token={token}")
        visitor.press("Keep my account")
        visitor.heading("This link does not work")
        visitor.look("withdraw-deletion-refused")
        visitor.go("/confirm-deletion")
        visitor.heading("This link does not work")

        assert visitor.complaints == []
    assert org.owner.ask("GET", "/v1/account/deletion").status_code == 404


class TestDoors:
    def test_refuse_what_is_not_theirs(self, stack: Running) -> None:
        org, other = stack.sign_up(), stack.sign_up()
        wrong = org.owner.ask("POST", "/v1/account/deletion", {"password": PASSWORD + "!"})
        nobody = stack.api.ask("POST", "/v1/account/deletion", {"password": PASSWORD})
        program = org.program.ask("POST", "/v1/account/deletion", {"password": PASSWORD})
        leave(org)

        assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
        assert (nobody.status_code, program.status_code) == (401, 403)
        assert other.owner.ask("DELETE", "/v1/account/deletion").json()["code"] == "no_deletion"
        assert org.owner.ask("GET", "/v1/account/deletion").json()["state"] == "confirmed"
        assert org.owner.ask("DELETE", "/v1/account/deletion").status_code == 204
        assert org.owner.ask("GET", "/v1/account/deletion").status_code == 404

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_link_that_a_scanner_opens_does_nothing(self, stack: Running, method: str) -> None:
        def scan(page: str, token: str) -> None:
            looked = requests.request(
                method, f"{stack.url}/{page}", params={"token": token}, timeout=client.TIMEOUT_SECONDS
            )
            assert looked.status_code == 200

        org = stack.sign_up()
        assert org.owner.ask("POST", "/v1/account/deletion", {"password": PASSWORD}).status_code == 202
        token = eventually(lambda: deletion_token(org, "confirm-deletion"), "no mail came")
        scan("confirm-deletion", token)
        asked = org.owner.ask("GET", "/v1/account/deletion").json()["state"]
        stack.api.ask("POST", "/v1/deletion-confirmations", {"token": token})
        token = eventually(lambda: deletion_token(org, "withdraw-deletion"), "no mail said when")
        scan("withdraw-deletion", token)
        confirmed = org.owner.ask("GET", "/v1/account/deletion").json()["state"]
        withdrawn = stack.api.ask("POST", "/v1/deletion-withdrawals", {"token": token})

        assert (asked, confirmed, withdrawn.status_code) == ("requested", "confirmed", 204)
        assert org.owner.ask("GET", "/v1/account/deletion").status_code == 404

    def test_who_stays_after_all_has_everything_as_it_was(self, stack: Running) -> None:
        org, _canaries = canary_org(stack)
        before = all_that_is_shown(org)
        leave(org)

        assert all_that_is_shown(org) == before
        assert org.owner.ask("DELETE", "/v1/account/deletion").status_code == 204

        assert all_that_is_shown(org) == before
        assert org.send("after-all").status_code == 201
        assert stripes(stack, org) == (["active"], [False])


def all_that_is_shown(org: Org) -> list[Any]:
    """But for when the secrets were used last, which goes on."""
    paths = ("/v1/account", "/v1/org", "/v1/bots", "/v1/subscription", "/v1/usage")
    shown = [org.owner.ask("GET", path).json() for path in paths]
    secrets = org.owner.ask("GET", "/v1/secrets").json()["data"]
    return [*shown, [{**one, "last_used_at": None} for one in secrets]]
