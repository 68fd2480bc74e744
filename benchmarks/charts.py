"""Charts as SVG, by matplotlib."""

from pathlib import Path
from typing import Any

from benchmarks.contests import CONTESTS
from benchmarks.report import middle
from benchmarks.runs import Entry

OURS, THEIRS = "#d62728", "#9db4c8"


def draw_bars(contests: dict[str, list[Entry]], path: Path) -> None:
    """Draw a bar for each server's rate, in the contests that have rates."""
    rated = {name: e for name, e in contests.items() if CONTESTS[name].measure == "rate"}
    if not rated:
        return
    plt = pyplot()
    heights = [len(entries) for entries in rated.values()]
    size = (9, 0.27 * sum(heights) + 0.9 * len(rated))
    figure, axes = plt.subplots(len(rated), figsize=size, height_ratios=heights, squeeze=False)
    for axis, (name, entries) in zip(axes[:, 0], rated.items(), strict=True):
        there = [entry for entry in entries if not entry.missing]
        there.sort(key=lambda entry: middle(entry, lambda r: r.rate))
        rates = [middle(entry, lambda r: r.rate) / 1e3 for entry in there]
        colors = [OURS if entry is entries[0] else THEIRS for entry in there]
        bars = axis.barh([entry.peer.name for entry in there], rates, color=colors)
        axis.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        axis.set_title(CONTESTS[name].title + ", thousands a second", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.1, y=0.01)
    save(figure, path)


def pyplot() -> Any:
    """Import matplotlib, set up to write SVG with text as text, the same each time."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fastws", "font.size": 9})
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, path: Path) -> None:
    """Write it."""
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
