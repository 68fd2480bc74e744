"""Charts as SVG, by matplotlib."""

from pathlib import Path
from typing import Any

from benchmarks.contests import Contest
from benchmarks.report import cpu, middle
from benchmarks.runs import Entry
from benchmarks.table import short

OTHERS = "#4c6c87"
OURS, PARTLY_OURS, THEIRS = "#d62728", "#f0a3a4", "#9db4c8"


def draw_bars(contest: Contest, entries: list[Entry], path: Path) -> None:
    """Draw a bar for each server's rate."""
    there = [entry for entry in entries if not entry.missing]
    there.sort(key=lambda entry: middle(entry, lambda r: r.rate))
    rates = [middle(entry, lambda r: r.rate) / 1e3 for entry in there]
    figure, axis = pyplot().subplots(figsize=(9, 0.27 * len(there) + 0.9))
    colors = [color(entry.peer.name) for entry in there]
    bars = axis.barh([entry.peer.name for entry in there], rates, color=colors)
    labels = [short(rate * 1e3) for rate in rates]
    axis.bar_label(bars, labels, padding=3, fontsize=8)
    axis.set_title(f"{contest.title}, thousands a second", loc="left", fontsize=10)
    axis.margins(x=0.1, y=0.01)
    save(figure, path)


def draw_curve(title: str, name: str, measured: dict[int, list[Entry]], path: Path) -> None:
    """Draw µs of CPU for a message by what `name` says, both axes logarithmic."""
    figure, axis = pyplot().subplots(figsize=(6.5, 3.6))
    for index, entry in enumerate(next(iter(measured.values()))):
        there = [(n, entries[index]) for n, entries in measured.items()]
        points = [(n, cpu(entry) * 1e6) for n, entry in there if not entry.missing]
        axis.plot(
            [n for n, _ in points],
            [cost for _, cost in points],
            "--" if "deflate" in entry.peer.name else "-",
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
    axis.legend(frameon=False, fontsize=8)
    save(figure, path)


def color(name: str) -> str:
    """Ours stand out, and what is ours in part."""
    if name in {"fastws", "fastws.App"}:
        return OURS
    return PARTLY_OURS if "fastws" in name else THEIRS


def pyplot() -> Any:
    """Import matplotlib, set up to write SVG with text as text, the same each time."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fastws", "font.size": 9})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, path: Path) -> None:
    """Write it."""
    path.parent.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot().close(figure)
