"""Ratios of interleaved rounds, and the Markdown table that they end in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Ratios:
    """One server's figure over another's, one ratio per round, in which both ran."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, ours: list[float], theirs: list[float]) -> "Ratios":
        """The ratios of two servers' figures, round by round."""
        return cls(tuple(a / b for a, b in zip(ours, theirs, strict=True)))

    @property
    def median(self) -> float:
        """What the table calls the ratio."""
        return median(self.rounds)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.rounds):.2f} to {max(self.rounds):.2f})"


@dataclass
class Row:
    """One line of the table.

    Attributes:
        figure: what was measured.
        ours: the figure of the server that is looked at.
        theirs: that of the one it is compared with, with its name.
        ratio: what is wanted, as far as it is a ratio, e.g. of messages per second.
        cpu: the same ratio with CPU seconds of the server in the place of seconds.
        wanted: a sign and a number, as in ">= 3".
        met: whether it is so; None when nothing is wanted, or nothing was measured.
        failed: whether a server did something wrong.
        raw: everything that was measured, for the JSON file.
    """

    figure: str
    ours: str = ""
    theirs: str = ""
    ratio: str = ""
    cpu: str = ""
    wanted: str = ""
    met: bool | None = None
    failed: bool = False
    raw: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        verdict = {True: f"{self.wanted}: met", False: f"{self.wanted}: **missed**"}
        last = verdict[self.met] if self.met is not None else self.wanted
        cells = (self.figure, self.ours, self.theirs, self.ratio, self.cpu, last)
        return f"| {' | '.join(cells)} |"


def holds(value: float, wanted: str) -> bool | None:
    """Whether a value is as wanted: ">= 3", "<= 6 KiB" (the unit is that of the value)."""
    if not wanted:
        return None
    sign, number = wanted.split()[:2]
    return value >= float(number) if sign == ">=" else value <= float(number)


def head(name: str) -> str:
    """The first two lines of the table."""
    return (
        f"| figure | {name} | peer | ratio (min to max) | per CPU second | wanted |\n"
        "|---|---|---|---|---|---|"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; short rows are filled up."""
    lines = [columns, ["---"] * len(columns)]
    lines += [[*row, *[""] * (len(columns) - len(row))] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(value: float) -> str:
    """Three digits and a unit: 64.2 k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
