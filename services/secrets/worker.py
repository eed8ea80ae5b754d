"""What secrets does without a caller: publish, and keep its tables within their retention."""

from services.secrets.settings import Settings
from shared import database, pruning, worker


def work(_settings: Settings, _home: database.Database) -> worker.Work:
    return worker.Work(service="secrets", timers=[pruning.TIMER])
