import pytest

from shared import context, errors, revisions

pytestmark = pytest.mark.pure

SHOWN = {"id": "bot_1", "name": "Charles", "pause_reasons": []}


class TestOf:
    def test_is_the_same_for_what_looks_the_same(self):
        assert revisions.of(SHOWN) == revisions.of(dict(reversed(SHOWN.items())))

    def test_changes_with_whatever_is_shown(self):
        assert revisions.of(SHOWN) != revisions.of({**SHOWN, "pause_reasons": ["user"]})


class TestCheck:
    def test_does_not_even_look_where_nobody_named_a_revision(self):
        revisions.check(lambda: pytest.fail("looked"))

    def test_lets_whoever_named_this_one_through(self):
        with context.use(if_match=("another", revisions.of(SHOWN))):
            revisions.check(lambda: SHOWN)

    @pytest.mark.parametrize("wanted", [(), ("another",)])
    def test_refuses_whoever_named_others(self, wanted):
        with context.use(if_match=wanted), pytest.raises(errors.Conflict, match="precondition_failed"):
            revisions.check(lambda: SHOWN)
