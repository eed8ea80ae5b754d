"""Products and prices from the plan catalogue, at the start of the sandbox."""

from pathlib import Path

import pytest

from sandbox.stripe import products, state
from tests.sandbox.stripe_process import CATALOGUE, REPOSITORY

pytestmark = pytest.mark.pure


@pytest.fixture
def load(tmp_path):
    """Loads a catalogue's text, and answers price id and cents by lookup key."""
    remembered = state.State(tmp_path / "state.sqlite", "http://127.0.0.1")

    def load_text(text: str) -> dict[str, tuple[str, int]]:
        file = Path(tmp_path / "catalogue.toml")
        file.write_text(text)
        with remembered.transaction(1_700_000_000) as store:
            products.load_catalogue(store, file)
            prices = store.find("price")
        return {each["lookup_key"]: (each["id"], each["unit_amount"]) for each in prices if each["lookup_key"]}

    yield load_text
    remembered.close()


class TestLoadCatalogue:
    def test_makes_a_price_of_every_plan_but_the_free_one(self, load):
        assert load(CATALOGUE) == {
            "starter_monthly": ("price_starter", 1900),
            "growth_monthly": ("price_growth", 4900),
        }

    def test_changes_nothing_the_second_time(self, load):
        assert load(CATALOGUE) == load(CATALOGUE)

    def test_gives_the_lookup_key_of_a_new_price_to_it(self, load):
        load(CATALOGUE)

        after = load(CATALOGUE.replace("1900", "2100"))

        price_id, cents = after["starter_monthly"]
        assert (price_id == "price_starter", cents) == (False, 2100)

    def test_reads_the_catalogue_of_the_billing_service(self, load):
        catalogue = (REPOSITORY / "services" / "billing" / "catalogue.toml").read_text()

        assert len(load(catalogue)) == catalogue.count("lookup_key =")
