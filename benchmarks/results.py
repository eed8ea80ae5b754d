"""What a benchmark found: a figure, and what it was measured against in the same run."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Result:
    """
    :param name: what was measured, stable over releases
    :param against: what the value is a ratio to, or what it must not be worse than
    :param detail: the raw figures
    """

    name: str
    value: float
    unit: str
    against: str
    detail: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}: {self.value:g} {self.unit} (against {self.against})"
