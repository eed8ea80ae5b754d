"""What operations do at night, with the real command line on a stack that runs: parked events, dead letters, jobs."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from sandbox import mail
from tests.stack.stacks import Org, Running, eventually

OK, FAILED, NOT_FOUND, CONFLICT, AWAY = 0, 1, 3, 5, 75
CANARY = "canary-of-an-undecodable-message-4711"
NOBODYS_BROKER = "amqp://127.0.0.1:1/"
NOBODYS_DATABASE = "postgresql+psycopg2://nobody:x@127.0.0.1:1/none"

BREAK = """
    CREATE OR REPLACE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.org_id = '{org_id}' THEN RAISE EXCEPTION 'the handler''s own fault'; END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER break_it BEFORE UPDATE ON orgs FOR EACH ROW EXECUTE FUNCTION break_it()
"""
MEND = "DROP TRIGGER IF EXISTS break_it ON orgs"

Documents = list[dict[str, Any]]


def documents(done: "subprocess.CompletedProcess[str]") -> Documents:
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def failing_handler(stack: Running, org: Org) -> Iterator[None]:
    """Quota's handler raises for this org, and for no other, until it is mended."""

    _execute(stack, BREAK.format(org_id=org.id))
    try:
        yield
    finally:
        _execute(stack, MEND)


def _execute(stack: Running, sql: str) -> None:
    with stack.database("quota").engine.begin() as connection:
        connection.exec_driver_sql(sql)


def parked(stack: Running, org: Org) -> Documents:
    return documents(
        stack.run("parked", "list", "--service", "quota", "--stream", f"subscription-{org.id}", "--json")
    )


def await_parked(stack: Running, org: Org, wanted: int) -> None:
    found = "SELECT 1 FROM parked WHERE stream = :stream"
    stream = f"subscription-{org.id}"
    eventually(lambda: len(stack.rows("quota", found, stream=stream)) == wanted, "its stream is not parked")


def end_parking(stack: Running, org: Org) -> None:
    """So that no other test meets it."""
    stack.run("parked", "redrive", "--stream", f"subscription-{org.id}", "--execute")


@pytest.fixture(scope="module")
def org(stack: Running) -> Iterator[Org]:
    """Its changes of plan are parked: to growth, scale and starter again."""
    org = stack.sign_up()
    org.subscribe("starter", limit=2000)
    with failing_handler(stack, org):
        for plan in ("growth", "scale", "starter"):
            assert org.change_plan(plan).status_code == 200
        await_parked(stack, org, 3)
        yield org
    end_parking(stack, org)


class TestAHandlerThatAlwaysRaises:
    def test_parks_its_stream_and_nothing_else(self, stack: Running, org: Org) -> None:
        found = parked(stack, org)

        other = stack.sign_up()
        other.subscribe("starter", limit=2000)
        assert org.usage()["limit"] == 2000

        assert [document["name"] for document in found] == ["billing.SubscriptionChanged"] * 3
        assert [document["reason"] for document in found] == [
            "InternalError in billing.SubscriptionChanged",
            *["an earlier event of its stream is parked"] * 2,
        ]
        versions = [document["version"] for document in found]
        assert versions == sorted(set(versions))

    def test_is_tried_three_times_and_then_left_alone(self, stack: Running, org: Org) -> None:
        event_id = parked(stack, org)[0]["event_id"]
        lines = (stack.directory / "logs" / "worker.log").read_text().splitlines()
        tries = [line for line in lines if event_id in line and "handler failed" in line]

        assert len(tries) == 3

    def test_is_shown_without_its_data_unless_they_are_asked_for(self, stack: Running, org: Org) -> None:
        id = parked(stack, org)[0]["id"]

        hidden = documents(stack.run("parked", "show", id, "--json"))[0]
        revealed = documents(stack.run("parked", "show", id, "--json", "--reveal"))[0]

        assert hidden["envelope"]["data"] == "hidden: --reveal"
        assert revealed["envelope"]["data"]["org_id"] == org.id

    def test_is_not_redriven_while_it_only_says_what_it_would_do(self, stack: Running, org: Org) -> None:
        would = stack.run("parked", "redrive", "--service", "quota", "--json")

        (line,) = [line for line in documents(would) if line["stream"] == f"subscription-{org.id}"]
        assert (would.returncode, line["would_redrive"]) == (OK, 3)
        assert "--execute" in would.stderr
        assert len(parked(stack, org)) == 3

    def test_stays_parked_while_it_still_raises(self, stack: Running, org: Org) -> None:
        tried = stack.run("parked", "redrive", "--stream", f"subscription-{org.id}", "--execute", "--json")

        (line,) = documents(tried)
        assert tried.returncode == FAILED
        assert (line["redriven"], line["left"]) == (0, 3)
        assert line["reason"] == "InternalError in billing.SubscriptionChanged"

    def test_is_redriven_in_order_once_it_is_mended(self, stack: Running, org: Org) -> None:
        _execute(stack, MEND)
        before = len(stack.events("quota", "quota.LimitChanged", org.id))

        done = stack.run("parked", "redrive", "--all", "--execute", "--json")

        assert (done.returncode, [line["redriven"] for line in documents(done)]) == (OK, [3])
        limits = [json.loads(bytes(row.data))["limit"] for row in stack.events("quota", "quota.LimitChanged", org.id)]
        assert limits[before:] == [10_000, 100_000, 2000]
        assert org.usage()["limit"] == 2000


class TestDiscard:
    def test_passes_over_one_event_keeps_the_record_and_lets_the_rest_be_redriven(self, stack: Running) -> None:
        org = stack.sign_up()
        org.subscribe("starter", limit=2000)
        with failing_handler(stack, org):
            assert org.change_plan("growth").status_code == 200
            assert org.change_plan("scale").status_code == 200
            await_parked(stack, org, 2)
        skipped, follows = parked(stack, org)
        discard = ("parked", "discard", skipped["id"], "--reason", "a test", "--by", "ada")

        assert stack.run(*discard).returncode == OK
        assert len(parked(stack, org)) == 2
        assert stack.run(*discard, "--execute").returncode == OK
        assert stack.run(*discard, "--execute").returncode == NOT_FOUND

        assert [document["id"] for document in parked(stack, org)] == [follows["id"]]
        assert stack.run("parked", "redrive", "--stream", f"subscription-{org.id}", "--execute").returncode == OK
        assert org.usage()["limit"] == 100_000
        (record,) = stack.rows("quota", "SELECT * FROM discarded WHERE event_id = :id", id=skipped["event_id"])
        assert (record.reason, record.actor, record.version) == ("a test", "ada", skipped["version"])

        chosen = ("replay", "--from", "billing", "--to", "quota", "--event", skipped["event_id"])
        (found,) = documents(stack.run(*chosen, "--json"))
        assert (found["discarded"], found["overtaken"], found["to_apply"]) == (1, 1, 0)
        replayed = stack.run(*chosen, "--overtaken", "--execute", "--max", "1", "--reason", "a test", "--json")
        assert (replayed.returncode, documents(replayed)[1]["applied"]) == (OK, 1)
        assert org.usage()["limit"] == 100_000


class TestProjections:
    def test_agree_with_what_the_services_have_written(self, stack: Running, org: Org) -> None:
        assert org.owner.ask("POST", f"/v1/bots/{org.bot_id}/pause").status_code == 200
        secret = org.owner.ask("POST", "/v1/secrets", {"name": "short-lived"}).json()
        org.owner.ask("DELETE", f"/v1/secrets/{secret['id']}")
        assert stack.sign_up().send("msg_told").status_code == 201

        looked = stack.run("projections", "diff", "accounts", "billing", "secrets", "quota", "--json")

        assert (looked.returncode, {line["differ"] for line in documents(looked)}) == (OK, {0})
        assert {line["table"] for line in documents(looked) if not line["rows"]} <= {"duplicates", "suspended"}


@pytest.fixture
def undecodable(stack: Running) -> Iterator[str]:
    """The id of a message that quota could not decode."""
    send_to_quota(stack, CANARY.encode(), content_type="text/plain", message_id="msg_strange")
    await_dead(stack)
    (letter,) = letters(stack)
    yield letter["id"]
    stack.run("deadletters", "discard", "--all", "--execute")


def send_to_quota(stack: Running, body: bytes, **properties: Any) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(stack.environment["AMQP_URI"]))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("", "quota.from.billing", body, pika.BasicProperties(**properties), mandatory=True)
    connection.close()


def await_dead(stack: Running) -> None:
    """Until there is a dead letter."""
    connection = pika.BlockingConnection(pika.URLParameters(stack.environment["AMQP_URI"]))
    declare = connection.channel().queue_declare
    eventually(lambda: declare("quota.from.billing.dead", passive=True).method.message_count, "nothing died")
    connection.close()


def letters(stack: Running) -> Documents:
    return documents(stack.run("deadletters", "list", "--json"))


def logged(stack: Running) -> str:
    return "".join(path.read_text() for path in (stack.directory / "logs").iterdir())


class TestAnUndecodableMessage:
    def test_reaches_no_log_and_is_shown_only_to_who_asks(self, stack: Running, undecodable: str) -> None:
        listed = stack.run("deadletters", "list")
        hidden = stack.run("deadletters", "show", undecodable)
        revealed = stack.run("deadletters", "show", undecodable, "--reveal")

        eventually(lambda: "undecodable message" in logged(stack), "nothing of it was logged")
        for text in (logged(stack), listed.stdout, listed.stderr, hidden.stdout, hidden.stderr):
            assert CANARY not in text
        assert "msg_strange" in listed.stdout
        assert CANARY in revealed.stdout

    def test_comes_back_if_it_is_requeued_since_nothing_has_changed(self, stack: Running, undecodable: str) -> None:
        requeued = stack.run("deadletters", "requeue", undecodable, "--execute")

        assert requeued.returncode == OK
        await_dead(stack)
        (again,) = letters(stack)
        assert again["id"] != undecodable
        assert again["message_id"] == "msg_strange"
        assert CANARY not in logged(stack)

    def test_is_thrown_away(self, stack: Running, undecodable: str) -> None:
        assert stack.run("deadletters", "discard", undecodable, "--execute").returncode == OK

        assert letters(stack) == []
        assert stack.run("deadletters", "show", undecodable).returncode == NOT_FOUND


def state_of(stack: Running, job_id: str) -> str:
    (row,) = stack.rows("accounts", "SELECT state FROM jobs WHERE id = :id", id=job_id)
    return str(row.state)


class TestJobs:
    @pytest.fixture
    def given_up(self, stack: Running) -> Iterator[str]:
        job_id = "job_of_a_test"
        payload = json.dumps({"to": "night@example.org", "subject": "Late", "text": CANARY})
        add = """
            INSERT INTO jobs (id, kind, subject, state, payload, attempts, due_at, last_error, created_at) VALUES
                (:id, 'accounts.mail', 'acc_test', 'failed', CAST(:payload AS jsonb), 12, now(), 'OSError', now())
            RETURNING id
        """
        stack.rows("accounts", add, id=job_id, payload=payload)
        yield job_id
        stack.rows("accounts", "DELETE FROM jobs WHERE id = :id RETURNING id", id=job_id)

    def test_that_were_given_up_are_listed_without_their_payload(self, stack: Running, given_up: str) -> None:
        listed = stack.run("jobs", "list", "--state", "failed", "--json")

        (job,) = documents(listed)
        assert (job["id"], job["kind"], job["attempts"]) == (given_up, "accounts.mail", 12)
        assert job["last_error"] == "OSError"
        assert CANARY not in listed.stdout + stack.run("jobs", "list").stdout

    def test_are_done_once_they_are_retried(self, stack: Running, given_up: str) -> None:
        assert stack.run("jobs", "retry", given_up).returncode == OK
        assert state_of(stack, given_up) == "failed"

        assert stack.run("jobs", "retry", given_up, "--execute").returncode == OK

        eventually(lambda: state_of(stack, given_up) == "done", "nobody did it")
        assert CANARY in "".join(message["text"] for message in mail.read(stack.mail_folder))
        assert stack.run("jobs", "retry", given_up, "--execute").returncode == CONFLICT

    def test_are_never_done_once_they_are_cancelled(self, stack: Running, given_up: str) -> None:
        cancel = ("jobs", "cancel", given_up, "--reason", "sent by hand", "--by", "ada")

        assert stack.run(*cancel).returncode == OK
        assert stack.run(*cancel, "--execute").returncode == OK

        (row,) = stack.rows("accounts", "SELECT * FROM jobs WHERE id = :id", id=given_up)
        assert (row.state, row.payload, row.last_error) == ("cancelled", None, "ada: sent by hand")
        again = stack.run(*cancel, "--execute")
        assert (again.returncode, again.stderr) == (CONFLICT, f"chatness: the job {given_up} is cancelled\n")

    def test_that_do_not_exist_are_not_found(self, stack: Running) -> None:
        assert stack.run("jobs", "retry", "job_nobodys", "--execute").returncode == NOT_FOUND


class TestAway:
    @pytest.mark.parametrize(
        "words",
        [
            ("parked", "redrive", "--all", "--execute"),
            ("jobs", "list"),
            ("events", "list"),
            ("events", "show", "evt_nobodys"),
            ("events", "tail"),
            ("events", "verify", "--service", "quota"),
            ("replay", "--from", "billing", "--to", "quota"),
        ],
        ids=" ".join,
    )
    def test_is_said_of_a_database_in_one_line(self, stack: Running, words: tuple[str, ...]) -> None:
        refused = stack.run(*words, QUOTA_DATABASE_URL=NOBODYS_DATABASE)

        assert (refused.returncode, len(refused.stderr.splitlines())) == (AWAY, 1)
        assert "a database does not answer" in refused.stderr

    def test_is_said_of_rabbitmq_in_one_line(self, stack: Running) -> None:
        refused = stack.run("deadletters", "list", AMQP_URI=NOBODYS_BROKER)

        assert (refused.returncode, len(refused.stderr.splitlines())) == (AWAY, 1)
        assert "RabbitMQ does not answer" in refused.stderr


class TestAList:
    @pytest.mark.parametrize(
        "words, said",
        [
            (("parked", "list", "--stream", "subscription-org_of_nobody"), "nothing is parked"),
            (("deadletters", "list", "--service", "billing"), "there are no dead letters"),
            (("jobs", "list", "--state", "cancelled", "--service", "secrets"), "no job is cancelled"),
        ],
    )
    def test_that_is_empty_says_so_beside_the_data(self, stack: Running, words: tuple[str, ...], said: str) -> None:
        listed = stack.run(*words)

        assert (listed.returncode, listed.stdout, listed.stderr.strip()) == (0, "", said)
