"""Two counts side by side: what has become worse, by how much, and in which functions."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gate.counting import Count
from benchmarks.gate.work import Idle, Workload
from benchmarks.gate.workloads import WORKLOADS

SHOWN = 6
# Of a workload; what grew by less is not shown.
VISIBLE = 0.002


@dataclass(frozen=True)
class Verdict:
    """How a workload has changed.

    Attributes:
        name: which workload.
        before: what it is compared with.
        now: what was counted.
    """

    name: str
    before: Count
    now: Count

    @property
    def workload(self) -> Workload | Idle:
        """The workload."""
        return WORKLOADS[self.name]

    @property
    def growth(self) -> float:
        """By which part of what it was it has grown."""
        return self.now.amount / self.before.amount - 1

    @property
    def worse(self) -> bool:
        """Whether that is too much."""
        return self.growth > self.workload.tolerated

    @property
    def better(self) -> bool:
        """Whether the baseline is too easy by now."""
        return self.growth < -self.workload.tolerated

    def grown(self) -> list[tuple[str, float, float]]:
        """Return the parts that grew most: name, before and now."""
        before, now = self.before.parts, self.now.parts
        both = ((name, before.get(name, 0.0), cost) for name, cost in now.items())
        visible = VISIBLE * self.before.amount
        grown = [row for row in both if row[2] - row[1] > visible]
        return sorted(grown, key=lambda row: row[1] - row[2])[:SHOWN]

    def __str__(self) -> str:
        word = "WORSE" if self.worse else "better" if self.better else ""
        what = f"{self.name} | {self.workload.counted} of a {self.workload.unit}"
        figures = f"{self.now.amount:,.0f} | {self.before.amount:,.0f}"
        change = f"{self.growth:+.2%} | {self.workload.tolerated:.0%}"
        return f"| {what} | {figures} | {change} | {word} |"


HEAD = """\
| workload | counted | now | baseline | change | tolerated | |
|---|---|---|---|---|---|---|"""


def compare(before: dict[str, Count], now: dict[str, Count]) -> list[Verdict]:
    """Judge each workload that both have."""
    return [Verdict(name, before[name], count) for name, count in now.items() if name in before]


def report(verdicts: list[Verdict]) -> Iterator[str]:
    """Write the table, and then the parts that grew in what became worse."""
    yield HEAD
    yield from map(str, verdicts)
    for verdict in verdicts:
        if verdict.worse:
            what = f"{verdict.workload.counted} of a {verdict.workload.unit}"
            yield f"\n{verdict.name}, {verdict.growth:+.2%}; {what} that grew most:"
            for name, before, now in verdict.grown():
                yield f"  {before:10,.1f} -> {now:10,.1f}  {name}"
