import re
import subprocess
import sys

import pytest
from prometheus_client import Counter, Histogram

from shared import errors, metrics, rpc_wire

pytestmark = pytest.mark.pure

LABELS = {
    *("release", "role", "part"),
    *("route", "method", "status", "outcome"),
    *("service", "producer", "event", "kind", "state", "for", "work", "reason", "source"),
}


class TestMetrics:
    @pytest.mark.parametrize("metric", metrics.all_of_ours(), ids=lambda metric: metric._name)
    def test_have_the_names_that_are_usual_and_labels_of_few_values(self, metric):
        (described,) = metric.describe()

        assert re.fullmatch("chatness_[a-z_]+", described.name)
        assert set(metric._labelnames) <= LABELS
        assert described.documentation
        if isinstance(metric, Histogram):
            assert described.name.endswith(("_seconds", "_messages"))
        assert described.name.endswith("_total") is False  # the library adds it to counters

    def test_are_many(self):
        assert len(metrics.all_of_ours()) > 30
        assert any(isinstance(metric, Counter) for metric in metrics.all_of_ours())


class TestOutcomeOf:
    @pytest.mark.parametrize(
        "fault, outcome",
        [
            (None, "answered"),
            (errors.NotFound("unknown_bot", "There is none."), "not_found"),
            (errors.LimitReached("message_limit_reached"), "limit_reached"),
            (errors.Unavailable("service_unavailable"), "unavailable"),
            (errors.Unavailable("deadline_passed"), "deadline_passed"),
            (rpc_wire.RemoteBug("quota.get_bot"), "bug"),
            (KeyError("canary"), "bug"),
        ],
    )
    def test_is_one_of_a_few_words(self, fault, outcome):
        assert metrics.outcome_of(fault) == outcome


class TestCalling:
    def test_counts_a_call_that_failed_and_lets_the_failure_pass(self):
        calls = metrics.RPC_CALLS.labels("test.calling", "conflict")._value

        with pytest.raises(errors.Conflict), metrics.calling("test.calling"):
            raise errors.Conflict("changed_meanwhile")

        assert calls.get() == 1


class TestInAGreenProcess:
    def test_have_real_locks_since_a_real_thread_reads_them(self):
        program = (
            "from shared import serve; serve.green(); import threading; from shared import metrics;"
            "locks = (metrics.HTTP_IN_FLIGHT._value._lock, metrics.REGISTRY._lock, threading.Lock());"
            "print(*(type(lock).__module__ for lock in locks))"
        )

        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60, capture_output=True, text=True
        )

        assert done.stdout.split() == ["_thread", "_thread", "eventlet.lock"]
