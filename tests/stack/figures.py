"""What the processes of a stack show at /metrics."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import requests
from prometheus_client import parser

from tests.stack.stacks import Process

Sample = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Figures:
    """The samples of one or several processes, added up."""

    samples: Counter[Sample]

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels."""
        wanted = labels.items()
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)

    def since(self, before: "Figures", name: str, **labels: str) -> float:
        return self.of(name, **labels) - before.of(name, **labels)

    def names(self) -> set[str]:
        return {name for name, _labels in self.samples}

    def labels(self) -> set[str]:
        return {value for _name, labels in self.samples for _label, value in labels}


def ask(process: Process, path: str) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{process.health_port}{path}", timeout=10)


def read(processes: Iterable[Process]) -> Figures:
    found: Counter[Sample] = Counter()
    for process in processes:
        answer = ask(process, "/metrics")
        assert answer.status_code == 200, answer.text
        for family in parser.text_string_to_metric_families(answer.text):
            for sample in family.samples:
                found[sample.name, frozenset(sample.labels.items())] += sample.value
    return Figures(found)
