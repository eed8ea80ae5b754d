"""The migrated tables are those of the models."""

from services.accounts import models
from tests import databases


def test_migration_and_models_agree(open_database):
    home = open_database("accounts")

    assert databases.differences(home, models.State.metadata, models.Views.metadata) == []
