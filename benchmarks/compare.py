"""`python -m benchmarks.compare`: fastws beside everybody else, as tables and a chart.

It writes RESULTS/peers.md and RESULTS/peers.svg.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.charts import draw_bars
from benchmarks.contests import CONTESTS
from benchmarks.machine import command_line, describe
from benchmarks.report import HOW, document, section
from benchmarks.runs import Entry, interleave
from benchmarks.servers import RESULTS, raise_file_limit


def main() -> int:
    """Measure, print and write; status 1 if nothing could be measured."""
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
    sections, measured = [], dict[str, list[Entry]]()
    for name in options.only:
        contest = CONTESTS[name]
        seconds = contest.seconds or options.seconds
        entries = [Entry(peer, contest.load) for peer in contest.peers]
        measured[name] = interleave(entries, options.rounds, "-t", str(seconds))
        sections.append(section(contest, measured[name]))
        print(sections[-1], end="\n\n", flush=True)
    facts = f"{describe(command_line())}\n\n{HOW}\n\n![rates](peers.svg)"
    options.results.mkdir(exist_ok=True)
    (options.results / "peers.md").write_text(document("fastws and its peers", facts, sections))
    draw_bars(measured, options.results / "peers.svg")
    return int(all(entry.missing for entries in measured.values() for entry in entries))


if __name__ == "__main__":
    sys.exit(main())
