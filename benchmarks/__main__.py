"""`python -m benchmarks`: the figures that fastws promises, as one Markdown table."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import QUICK, SECTIONS, Plan, not_measured
from benchmarks.roster import SUBJECTS
from benchmarks.servers import LOAD_CORE, SERVER_CORE, NotMeasuredError, raise_file_limit
from benchmarks.table import Row, head


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(QUICK),
        metavar="A,B",
        help=f"of {','.join(SECTIONS)} ({','.join(QUICK)})",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=0.6, help="length of each run (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything measured, as JSON")
    parser.add_argument(
        "--subject",
        choices=SUBJECTS,
        default="fastws",
        help="the server to look at; `uvicorn` is a control, its ratios to itself are the noise",
    )
    options = parser.parse_args()
    if unknown := set(options.only) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    """Print the table; status 1 if an echo was wrong or nothing could be measured."""
    options = arguments()
    plan = Plan(SUBJECTS[options.subject], options.rounds, options.seconds)
    raise_file_limit()
    if SERVER_CORE == LOAD_CORE:
        print("One core only: servers and load generator share it.", file=sys.stderr)
    rows: list[Row] = []
    failed = False
    print(head(plan.subject.name), flush=True)
    for section in options.only:
        try:
            for row in SECTIONS[section](plan):
                rows.append(row)
                print(row, flush=True)
                failed |= row.failed
        except (NotMeasuredError, RuntimeError) as reason:
            print(not_measured(section, reason), flush=True)
            failed |= isinstance(reason, RuntimeError)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return int(failed or not rows)


if __name__ == "__main__":
    sys.exit(main())
