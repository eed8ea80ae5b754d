"""A price that somebody has archived in Stripe's dashboard while it is in our catalogue."""

import pytest

from shared import errors


@pytest.fixture
def archived(billing):
    """Growth can be bought no more."""
    billing.subscribe("starter")
    billing.stripe.client().v1.prices.update("price_growth", {"active": False})
    return billing


class TestAnArchivedPrice:
    def test_keeps_a_change_from_happening_and_says_so(self, archived):
        with pytest.raises(errors.Conflict, match="stripe_refused"):
            archived.tell("change_plan", plan="growth")

        assert archived.subscription()["plan"] == "starter"

    def test_has_no_preview(self, archived):
        with pytest.raises(errors.Unavailable, match="stripe_unavailable"):
            archived.ask("preview", plan="growth")

    def test_leaves_the_plan_to_who_has_it(self, archived):
        archived.stripe.client().v1.prices.update("price_starter", {"active": False})

        archived.set_clock("2026-05-01T00:00:01Z")
        archived.deliver()

        assert archived.subscription()["plan"] == "starter"
        assert archived.subscription()["period"]["ends_at"] == "2026-06-01T00:00:00Z"
