"""The plan catalogue: the one that is shipped, and exact words for one that is wrong."""

import copy
import tomllib

import pytest

from services.billing import catalogue
from shared import errors

pytestmark = pytest.mark.pure


def document():
    return tomllib.loads(catalogue.DEFAULT.read_text())


class TestLoad:
    def test_reads_the_catalogue_that_is_shipped(self):
        plans = catalogue.load()

        assert plans.ids == ("free", "starter", "growth", "scale")
        assert (plans.plan("free").messages, plans.plan("free").bots) == (200, 1)
        assert plans.grace_period.days == 7

    def test_says_where_it_is_no_toml(self, tmp_path):
        (tmp_path / "plans.toml").write_text("[[plans]\n")

        with pytest.raises(ValueError, match=r"^plans\.toml is no TOML: .*line 1"):
            catalogue.load(tmp_path / "plans.toml")


class TestParse:
    @pytest.mark.parametrize(
        "change, fault",
        [
            (lambda d: d.update(grace_period_days=-1), "grace_period_days must be a whole number, at least 0"),
            (lambda d: d.update(color="red"), "unknown: color"),
            (lambda d: d.update(plans="none"), r"plans must be tables \[\[plans\]\]"),
            (lambda d: d["plans"][1].pop("bots"), r"plans\[1\]\.bots is missing"),
            (lambda d: d["plans"][1].update(bots=True), r"plans\[1\]\.bots must be a whole number, at least 0"),
            (lambda d: d["plans"][1].update(price_cents=19.0), r"plans\[1\]\.price_cents must be a whole number"),
            (lambda d: d["plans"][1].update(name=""), r"plans\[1\]\.name must be a text that is not empty"),
            (lambda d: d["plans"][1].update(colour="red"), r"plans\[1\]\.colour is unknown"),
            (lambda d: d["plans"][1].update(rank=2), "rank 2 is there more than once"),
            (lambda d: d["plans"][1].update(id="growth"), "id growth is there more than once"),
            (lambda d: d["plans"][1].update(currency="eur"), "all plans must have the same currency"),
            (lambda d: d["plans"][1].pop("lookup_key"), "starter needs a lookup_key"),
            (lambda d: d["plans"].pop(0), "there must be a plan free"),
            (lambda d: d["plans"][0].update(price_cents=1), "free must cost 0"),
            (lambda d: d["plans"][0].update(rank=9), "free must cost 0, have no lookup_key and the lowest rank"),
        ],
    )
    def test_names_the_fault(self, change, fault):
        wrong = copy.deepcopy(document())
        change(wrong)

        with pytest.raises(ValueError, match=fault):
            catalogue.parse(wrong)

    def test_names_every_fault_at_once(self):
        wrong = document()
        wrong["plans"][1]["bots"] = -1
        wrong["plans"][2].pop("name")

        with pytest.raises(ValueError, match=r"^plans\[1\]\.bots must be .*; plans\[2\]\.name is missing$"):
            catalogue.parse(wrong)


class TestPlan:
    def test_says_which_plans_there_are(self):
        with pytest.raises(errors.Invalid, match=r"unknown_plan: .*free, starter, growth, scale"):
            catalogue.load().plan("gold")
