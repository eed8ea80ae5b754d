"""What the doors and the worker of billing both work with."""

from dataclasses import dataclass
from datetime import datetime

from services.billing import stripe_api
from services.billing.catalogue import Catalogue
from services.billing.settings import Settings
from shared import database


@dataclass(frozen=True, kw_only=True)
class Parts:
    database: database.Database
    settings: Settings

    @property
    def plans(self) -> Catalogue:
        return self.settings.plans

    def now(self) -> datetime:
        return self.database.clock.now()

    def stripe(self) -> stripe_api.Stripe:
        """For one errand, whose time begins now."""
        return stripe_api.Stripe(settings=self.settings)
