"""How what databases do is told to the operator."""

import pytest

from ops import exits, reach
from shared import database, store

pytestmark = pytest.mark.pure


class TestNeedingDatabases:
    @pytest.mark.parametrize(
        "lost",
        [store.VersionConflict("lost"), database.Beaten("UPDATE", {}, Exception())],
        ids=["conflict", "deadlock"],
    )
    def test_tells_those_who_lose_to_others_to_try_again(self, lost):
        with pytest.raises(exits.Away, match="others change the same"), reach.needing_databases():
            raise lost
