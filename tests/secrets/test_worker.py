"""What secrets does without a caller."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from services.gateway import api_secret
from services.secrets import models, worker
from shared import worker as workers
from tests.secrets.conftest import MEMBER

WEEK = timedelta(days=7)


def tell(secrets):
    return worker.tell_expiry(secrets.database, notice=WEEK)


def told_of(secrets):
    return [data["secret_id"] for type, data in secrets.told() if type == "secrets.SecretExpiresSoon"]


class TestTellExpiry:
    def test_says_once_that_a_secret_expires_within_the_week_and_who_made_it(self, secrets):
        made = secrets.create(actor=MEMBER, expires_at="2027-01-31T00:00:00Z")
        secrets.wait(days=62, hours=11, minutes=59)
        assert tell(secrets) == 0

        secrets.wait(minutes=1)

        assert [tell(secrets), tell(secrets)] == [1, 0]
        assert secrets.told()[-1] == (
            "secrets.SecretExpiresSoon",
            {
                "org_id": "org_1",
                "secret_id": made["id"],
                "made_by": "acc_member",
                "expires_at": "2027-01-31T00:00:00Z",
            },
        )

    @pytest.mark.parametrize("life, after", [({"days": 4}, {"days": 2}), ({"days": 1}, {"hours": 12})])
    def test_waits_for_half_of_a_short_life(self, secrets, life, after):
        end = secrets.database.clock.now() + timedelta(**life)
        made = secrets.create(expires_at=end.isoformat())
        secrets.wait(**after)
        secrets.wait(microseconds=-1)
        assert tell(secrets) == 0

        secrets.wait(microseconds=1)

        assert tell(secrets) == 1
        assert told_of(secrets) == [made["id"]]

    def test_says_nothing_of_what_lives_for_less_than_a_day_for_ever_or_no_more(self, secrets):
        secrets.create()
        secrets.create(expires_at="2026-11-23T11:59:59Z")
        gone = secrets.create(expires_at="2026-11-24T12:00:00Z")
        secrets.create(expires_at="2026-11-24T12:00:00Z")
        secrets.tell("revoke_secret", secret_id=gone["id"])

        secrets.wait(hours=23)
        assert tell(secrets) == 0
        secrets.wait(days=1, hours=1)
        assert tell(secrets) == 0

    def test_is_not_needed_again_after_a_rotation(self, secrets):
        made = secrets.create(expires_at="2026-11-26T12:00:00Z")
        secrets.wait(days=3)
        assert tell(secrets) == 1

        secrets.rotate(made["id"])

        assert tell(secrets) == 0

    def test_says_it_once_where_two_workers_look_at_once(self, secrets):
        made = {secrets.create(expires_at="2026-11-26T12:00:00Z")["id"] for _ in range(20)}
        secrets.wait(days=3)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: tell(secrets), range(2)))
        tell(secrets)

        assert sorted(told_of(secrets)) == sorted(made)

    def test_leaves_to_the_next_minute_what_is_too_much_for_one(self, secrets, monkeypatch):
        monkeypatch.setattr(worker, "AT_ONCE", 2)
        for _ in range(3):
            secrets.create(expires_at="2026-11-26T12:00:00Z")
        secrets.wait(days=3)

        assert [tell(secrets) for _ in range(3)] == [2, 1, 0]


class TestPrune:
    def test_forgets_former_values_whose_overlap_is_over(self, secrets):
        for seconds in (60, 61):
            secrets.rotate(secrets.create()["id"], api_secret.generate(), overlap_seconds=seconds)
        secrets.wait(minutes=1)

        assert worker.prune(secrets.database) == 1

        with secrets.database.begin() as session:
            assert session.scalars(select(func.count()).select_from(models.FormerDigest)).one() == 1


class TestWork:
    def test_looks_by_the_minute_with_the_notice_that_is_set(self, secrets):
        secrets.create(expires_at="2026-11-30T12:00:00Z")
        secrets.wait(days=5)
        settings = secrets.doors.house.settings

        for days, expected in ((1, 0), (3, 1)):
            at_work = worker.work(type(settings)(**{**vars(settings), "expiry_notice_days": days}), secrets.database)
            (timer,) = [one for one in at_work.timers if one.name == "tell expiry"]
            assert isinstance(timer, workers.Timer)
            assert timer.every_seconds == 60
            assert timer.run(secrets.database) == expected
