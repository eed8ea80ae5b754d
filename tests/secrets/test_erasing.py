"""An org is erased: none of its secrets is good any more, the gateways hear so, and nothing of them is left."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from services.accounts.events import OrgErased
from services.gateway import api_secret
from services.secrets import models, projections, worker
from services.secrets.events import CATALOGUE
from shared import context, errors, jobs, outbox, rebuilding, verification
from tests.databases import everything_in
from tests.erasures import Erasure
from tests.secrets.conftest import OWNER, STRANGER

KILLED_AT = """
import sys
from services.secrets import erasing
from shared import clock, database, failpoints
failpoints.arm("erasure.step", at=int(sys.argv[2]))
erasing.AT_ONCE = 2
erasing.finish(database.Database(sys.argv[1], clock.Clock(), pool_size=1), "org_1", job_id="")
"""


def work_of(secrets):
    return worker.work(secrets.doors.house.settings, secrets.database)


def do_jobs(secrets):
    jobs.Runner(secrets.database, work_of(secrets).jobs).run_due(threading.Event())


def left(secrets):
    with secrets.database.begin() as session:
        shown = session.scalars(select(models.Secret.org_id)).all()
        assert set(session.scalars(select(models.Activity.org_id))) == set(shown)
        return sorted(shown), len(session.scalars(select(models.Digest)).all())


def revocations(secrets):
    """What the gateways hear, as it is published."""
    outbox.sequence(secrets.database)
    with secrets.database.begin() as session:
        log = outbox.read_log(session, "secrets", after=0, limit=500)
    return [one.data["reason"] for one in log if one.name == "secrets.SecretRevoked"]


@pytest.fixture
def erasure(secrets, open_database) -> Erasure:
    return Erasure(open_database("accounts"), secrets.database, "secrets", work_of(secrets).hears[0])


@pytest.fixture
def values(secrets):
    """Of two good secrets of `org_1`, and of one of `org_2`; `org_1` has a revoked one too."""
    ours, theirs = [api_secret.generate() for _ in range(2)], api_secret.generate()
    for number, value in enumerate(ours):
        secrets.create(value, name=f"Canary {number}", command_id=f"ada_at_example_{number}")
    secrets.tell("revoke_secret", secret_id=secrets.create()["id"])
    secrets.create(theirs, actor=STRANGER)
    return [*ours, theirs]


class TestAnErasure:
    def test_ends_all_secrets_at_once_and_no_other_orgs(self, secrets, erasure, values):
        erasure.say(OrgErased(org_id="org_1"))

        for value in values[:2]:
            with pytest.raises(errors.NotFound, match="unknown_secret"):
                secrets.verify(value)
        assert secrets.verify(values[2])["org_id"] == "org_2"

    def test_is_heard_by_the_gateways_for_each_secret_that_was_good(self, secrets, erasure, values):
        erasure.say(OrgErased(org_id="org_1"))

        assert revocations(secrets) == ["person", "erasure", "erasure"]

    def test_leaves_nothing_but_the_streams(self, secrets, erasure, values):
        assert {"Canary 1", "ada_at_example_1"} == {one for one in CANARIES if one in everything_in(secrets.database)}

        erasure.say(OrgErased(org_id="org_1"))
        do_jobs(secrets)

        found = everything_in(secrets.database)
        assert [one for one in CANARIES if one in found] == []
        assert (left(secrets), erasure.told()) == ((["org_2"], 1), ["org_1"])

    def test_takes_the_former_values_too_and_the_places_where_one_was_found(self, secrets, erasure, values):
        value = api_secret.generate()
        made = secrets.create(value)
        secrets.rotate(made["id"], api_secret.generate())
        secrets.rotate(secrets.create()["id"], api_secret.generate())
        leak = {"sha256": api_secret.fingerprint(value), "url": "https://paste.example/canary"}
        secrets.tell("report_leaks", actor=context.ANYONE, leaks=[leak])
        assert "paste.example/canary" in everything_in(secrets.database)

        erasure.say(OrgErased(org_id="org_1"))
        do_jobs(secrets)

        assert "paste.example" not in everything_in(secrets.database)
        with secrets.database.begin() as session:
            assert session.scalars(select(models.FormerDigest)).all() == []

    def test_leaves_a_history_that_verifies_and_rows_that_a_rebuild_makes_again(self, secrets, erasure, values):
        erasure.say(OrgErased(org_id="org_1"))
        do_jobs(secrets)

        assert verification.verify(secrets.database, CATALOGUE).faults == {}
        assert rebuilding.rebuild(secrets.database, "secrets", projections.READ_MODELS, limit=9).differences == []
        assert left(secrets) == (["org_2"], 1)

    def test_goes_on_wherever_it_was_killed(self, secrets, erasure, values):
        erasure.say(OrgErased(org_id="org_1"))

        codes = [_finished_by_another(secrets, killed_at=1) for _ in range(3)]

        assert codes == [-9, -9, 0]  # three secrets, two at a time
        assert (left(secrets), erasure.told()) == ((["org_2"], 1), ["org_1"])

    def test_told_and_done_twice_changes_nothing(self, secrets, erasure, values):
        erasure.say(OrgErased(org_id="org_1"))
        do_jobs(secrets)
        before = everything_in(secrets.database)

        work_of(secrets).jobs["secrets.erase_org"](_job_id(secrets), {"org_id": "org_1"})
        erasure.say()

        assert everything_in(secrets.database) == before

    def test_of_an_org_without_secrets_is_told(self, secrets, erasure):
        erasure.say(OrgErased(org_id="org_9"))
        do_jobs(secrets)

        assert erasure.told() == ["org_9"]

    def test_lets_no_secret_through_that_is_made_at_the_same_moment(self, secrets, erasure, values):
        made = [api_secret.generate() for _ in range(20)]

        def make(value):
            try:
                secrets.create(value, command_id=value[-20:])
            except errors.NotFound as refused:
                return refused.code
            return "made"

        with ThreadPoolExecutor(5) as pool:
            first = pool.map(make, made[:5])
            saying = pool.submit(erasure.say, OrgErased(org_id="org_1"))
            said = {*first, *pool.map(make, made[5:])}
            saying.result()
        do_jobs(secrets)

        assert said <= {"made", "erased"}
        assert left(secrets) == (["org_2"], 1)


CANARIES = ("Canary 1", "ada_at_example_1")


class TestAnErasedOrg:
    def test_is_gone_for_whoever_looks_or_makes_a_secret(self, secrets, erasure, values):
        erasure.say(OrgErased(org_id="org_1"))

        for ask in (lambda: secrets.ask("list_secrets"), lambda: secrets.ask("list_newest"), secrets.create):
            with pytest.raises(errors.NotFound) as refused:
                ask()
            assert refused.value.code == "erased"
        assert len(secrets.ask("list_secrets", actor=replace(OWNER, org_id="org_2"))) == 1


def _job_id(secrets):
    with secrets.database.begin() as session:
        return session.scalars(select(jobs.tables.Job.id)).one()


def _finished_by_another(secrets, *, killed_at):
    command = [sys.executable, "-c", KILLED_AT, secrets.database.url, str(killed_at)]
    return subprocess.run(command, check=False).returncode
