"""`python -m benchmarks.compare`: fastws beside everybody else, as tables and a chart.

It writes RESULTS/peers.md, whose other sections stay, and a chart for each section with rates.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.charts import draw_bars
from benchmarks.contests import CONTESTS, Contest
from benchmarks.machine import machine, occasion
from benchmarks.report import HOW, section, write
from benchmarks.runs import Entry, interleave, weigh
from benchmarks.servers import RESULTS, raise_file_limit


def main() -> int:
    """Measure, print and write; status 1 if our own server was missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(CONTESTS),
        metavar="A,B",
        help=f"of {','.join(CONTESTS)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each server (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.7, help="of each run (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder (%(default)s)")
    options = parser.parse_args()
    raise_file_limit()
    head = f"# fastws and its peers\n\n{machine()}\n\n{HOW}"
    order = [contest.title for contest in CONTESTS.values()]
    failed = False
    for name in options.only:
        contest = CONTESTS[name]
        entries = measure(contest, options.rounds, options.seconds)
        text = f"{occasion()}\n\n{section(contest, entries)}"
        print(f"## {contest.title}\n\n{text}\n", flush=True)
        if contest.measure == "rate" and any(entry.results for entry in entries):
            draw_bars(contest, entries, options.results / f"{name}.svg")
            text += f"\n\n![{contest.title}]({name}.svg)"
        # After each of them: whatever ends this, what was measured stays.
        write(options.results / "peers.md", head, {contest.title: text}, order)
        failed |= bool(entries[0].missing)
    return int(failed)


def measure(contest: Contest, rounds: int, seconds: float) -> list[Entry]:
    """Run one contest."""
    entries = [Entry(peer, contest.load) for peer in contest.peers]
    if contest.measure == "memory":
        return weigh(entries, rounds, int(contest.load[-1]))
    return interleave(entries, rounds, "-t", str(contest.seconds or seconds))


if __name__ == "__main__":
    sys.exit(main())
