"""Charts as SVG, by matplotlib."""

from pathlib import Path
from typing import Any

from benchmarks.contests import CONTESTS
from benchmarks.report import cpu, middle
from benchmarks.runs import Entry

OTHERS = "#4c6c87"
OURS, ON_OURS, THEIRS = "#d62728", "#f0a3a4", "#9db4c8"


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
        colors = [color(entry, entries[0]) for entry in there]
        bars = axis.barh([entry.peer.name for entry in there], rates, color=colors)
        axis.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        axis.set_title(CONTESTS[name].title + ", thousands a second", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.1, y=0.01)
    save(figure, path)


def draw_curves(charts: dict[str, tuple[str, str, dict[int, list[Entry]]]], path: Path) -> None:
    """Draw µs of CPU for a message, one panel a curve, both axes logarithmic."""
    plt = pyplot()
    rows = (len(charts) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(10, 3.4 * rows), squeeze=False)
    for axis, (title, name, measured) in zip(axes.flat, charts.values(), strict=False):
        for index, entry in enumerate(next(iter(measured.values()))):
            there = [(n, entries[index]) for n, entries in measured.items()]
            points = [(n, cpu(entry) * 1e6) for n, entry in there if not entry.missing]
            style = "--" if "deflate" in entry.peer.name else "-"
            axis.plot(
                *zip(*points, strict=True),
                style,
                marker="o",
                markersize=3,
                color=OURS if entry.peer.name.startswith("fastws") else OTHERS,
                label=entry.peer.name,
            )
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.set_xticks(list(measured), [f"{point:,}" for point in measured], fontsize=8)
        axis.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
        axis.yaxis.set_major_formatter("{x:,g}")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_minor_formatter("")
        axis.set_title(f"{title}, µs of CPU", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    for axis in axes.flat[len(charts) :]:
        axis.set_visible(False)
    save(figure, path)


def color(entry: Entry, ours: Entry) -> str:
    """Ours stand out, and what others run on ours."""
    if entry is ours:
        return OURS
    return ON_OURS if entry.peer.name.endswith(f" on {ours.peer.name}") else THEIRS


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
