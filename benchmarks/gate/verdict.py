"""Two counts side by side: what has become worse, by how much, and in which functions."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gate.counting import Count
from benchmarks.gate.workloads import WORKLOADS

TOLERATED = 0.03
SHOWN = 6
# Of a workload; what grew by less is not shown.
VISIBLE = 0.002


@dataclass(frozen=True)
class Verdict:
    """What has become of a workload.

    Attributes:
        name: which one.
        before: what it is compared with.
        now: what was counted.
    """

    name: str
    before: Count
    now: Count

    @property
    def growth(self) -> float:
        """By which part of what it was it has grown."""
        return self.now.instructions / self.before.instructions - 1

    @property
    def worse(self) -> bool:
        """Whether that is too much."""
        return self.growth > TOLERATED

    @property
    def better(self) -> bool:
        """Whether the baseline is too easy by now."""
        return self.growth < -TOLERATED

    def grown(self) -> list[tuple[str, float, float]]:
        """The functions that grew most: name, instructions before and now."""
        before, now = self.before.functions, self.now.functions
        both = ((name, before.get(name, 0.0), cost) for name, cost in now.items())
        visible = VISIBLE * self.before.instructions
        grown = [row for row in both if row[2] - row[1] > visible]
        return sorted(grown, key=lambda row: row[1] - row[2])[:SHOWN]

    def __str__(self) -> str:
        word = "WORSE" if self.worse else "better" if self.better else ""
        unit = WORKLOADS[self.name].unit
        figures = f"{self.now.instructions:,.0f} | {self.before.instructions:,.0f}"
        return f"| {self.name} | {unit} | {figures} | {self.growth:+.2%} | {word} |"


HEAD = """\
| workload | of one | instructions | baseline | change | |
|---|---|---|---|---|---|"""


def compare(before: dict[str, Count], now: dict[str, Count]) -> list[Verdict]:
    """Judges each workload that both have."""
    return [Verdict(name, before[name], count) for name, count in now.items() if name in before]


def report(verdicts: list[Verdict]) -> Iterator[str]:
    """The table, and then the functions that grew in what became worse."""
    yield HEAD
    yield from map(str, verdicts)
    for verdict in verdicts:
        if verdict.worse:
            unit = WORKLOADS[verdict.name].unit
            yield f"\n{verdict.name}, {verdict.growth:+.2%}; for one {unit} these take more:"
            for name, before, now in verdict.grown():
                yield f"  {before:10,.1f} -> {now:10,.1f}  {name}"
