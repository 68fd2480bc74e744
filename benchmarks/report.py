"""What a contest comes to, in Markdown: the best first, the missing last, and who is ahead."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.contests import Contest, Measure
from benchmarks.load import Result
from benchmarks.runs import Entry
from benchmarks.table import Ratios, short, table

HOW = """All servers of a table ran at once and took turns (A B C A B C ...), each on one core, the
load generator on another; medians of the rounds. A ratio is fastws over the peer within a round:
the median, the smallest, the largest; above 1 fastws is ahead. CPU is what a server's processes
spent on one message, user and kernel. Where the share of a core is small, something else was the
limit, and the ratio per CPU second says more."""
KIB = 1024


def middle(entry: Entry, value: Callable[[Result], float]) -> float:
    """The median of something over the rounds."""
    return median(value(result) for result in entry.results)


def cpu(entry: Entry) -> float:
    """Seconds of CPU for one."""
    return middle(entry, lambda result: result.cpu)


def rate_row(entry: Entry, ours: Entry) -> list[str]:
    """Cells of the table of rates."""
    rounds = min(len(entry.results), len(ours.results))
    pairs = list(zip(ours.results[:rounds], entry.results[:rounds], strict=True))
    return [
        f"{short(middle(entry, lambda r: r.rate))}/s",
        f"{cpu(entry) * 1e6:.2f} µs",
        f"{middle(entry, lambda r: r.server_cpu / r.seconds):.0%}",
        str(Ratios.of([a.rate for a, _ in pairs], [b.rate for _, b in pairs])),
        str(Ratios.of([1 / a.cpu for a, _ in pairs], [1 / b.cpu for _, b in pairs])),
    ]


def times(entry: Entry) -> list[str]:
    """The percentiles of the times of messages, in ms."""
    values = (lambda r: r.p50, lambda r: r.p99, lambda r: r.p999)
    return [f"{middle(entry, value) * 1e3:.2f} ms" for value in values]


def latency_row(entry: Entry, _ours: Entry) -> list[str]:
    """Cells of the table of an open loop."""
    return [*times(entry), f"{cpu(entry) * 1e6:.2f} µs"]


def stalled_row(entry: Entry, _ours: Entry) -> list[str]:
    """Cells of the table of slow consumers."""
    rate = f"{short(middle(entry, lambda r: r.rate))}/s"
    return [rate, *times(entry), f"{entry.peak >> 20} MiB", str(entry.results[-1].ended)]


def memory_row(entry: Entry, ours: Entry) -> list[str]:
    """Cells of the table of idle connections."""
    kib = [size / KIB for size in entry.sizes]
    ratio = Ratios.of([b for b, _ in zip(entry.sizes, ours.sizes, strict=False)], ours.sizes)
    return [f"{median(kib):.1f} KiB", f"{ratio.median:.2f}"]


@dataclass(frozen=True)
class Layout:
    """How a measure becomes a table.

    Attributes:
        columns: their headings.
        row: from an entry and ours to its cells.
        key: sorts, the best first.
    """

    columns: tuple[str, ...]
    row: Callable[[Entry, Entry], list[str]]
    key: Callable[[Entry], float]


LAYOUTS: dict[Measure, Layout] = {
    "rate": Layout(
        ("rate", "CPU", "of a core", "ratio (min to max)", "ratio per CPU second"),
        rate_row,
        lambda entry: -middle(entry, lambda r: r.rate),
    ),
    "latency": Layout(
        ("p50", "p99", "p99.9", "CPU"), latency_row, lambda entry: middle(entry, lambda r: r.p99)
    ),
    "memory": Layout(
        ("a connection", "times that of fastws"), memory_row, lambda entry: median(entry.sizes)
    ),
    "stalled": Layout(
        ("rate", "p50", "p99", "p99.9", "peak", "ended"),
        stalled_row,
        lambda entry: -middle(entry, lambda r: r.rate),
    ),
}


def section(contest: Contest, entries: list[Entry]) -> str:
    """One contest."""
    layout, ours = LAYOUTS[contest.measure], entries[0]
    ranked = sorted((entry for entry in entries if not entry.missing), key=layout.key)
    rows = [[entry.peer.name, *layout.row(entry, ours)] for entry in ranked]
    for entry in entries:
        if entry.missing:
            rows.append([entry.peer.name, f"missing: {' '.join(entry.missing.split())}"])
    for row in rows:
        if row[0] == ours.peer.name:
            row[0] = f"**{row[0]}**"
    parts = [contest.note, table(("server", *layout.columns), rows), verdict(contest, ranked, ours)]
    return "\n\n".join(part for part in parts if part)


def verdict(contest: Contest, ranked: list[Entry], ours: Entry) -> str:
    """Say who is ahead of us."""
    if ours not in ranked:
        return "fastws itself is missing."
    ahead = [entry.peer.name for entry in ranked[: ranked.index(ours)]]
    text = f"Ahead of fastws: {names(ahead)}."
    if contest.measure == "rate":
        cheaper = [entry.peer.name for entry in ranked if cpu(entry) < cpu(ours)]
        text += f" Less CPU for one: {names(cheaper)}."
    return text


def names(some: list[str]) -> str:
    """A list of names in a sentence."""
    return "; ".join(some) or "none"


def write(path: Path, head: str, sections: dict[str, str], order: Iterable[str]) -> None:
    """Write a file; sections that it has, and that were not measured now, stay.

    Args:
        path: of the file.
        head: what it begins with.
        sections: by their headings.
        order: all headings that there may be.
    """
    all_sections = {}
    if path.exists():
        for section in path.read_text().split("\n## ")[1:]:
            heading, _, text = section.partition("\n")
            all_sections[heading] = text.strip()
    all_sections |= sections
    there = [f"## {name}\n\n{all_sections[name]}" for name in order if name in all_sections]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n\n".join([head, *there]) + "\n")
