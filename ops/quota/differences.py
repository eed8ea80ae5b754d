"""Where what is stored is not what the events say."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Difference:
    """
    :param key: the row within the org
    :param column: empty where the whole row is missing, or should not be there
    """

    org_id: str
    table: str
    key: str
    column: str
    stored: Any
    folded: Any

    @property
    def line(self) -> str:
        column = f" {self.column}" if self.column else ""
        return f"{self.org_id}: {self.table} {self.key}{column}: stored {self.stored}, from the events {self.folded}"

    @property
    def document(self) -> dict[str, Any]:
        where = {"org": self.org_id, "table": self.table, "key": self.key, "column": self.column}
        return {**where, "stored": self.stored, "from_events": self.folded}
