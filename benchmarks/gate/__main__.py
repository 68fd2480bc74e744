"""`python -m benchmarks.gate [baseline]`: nothing got slower, or exit code 1; a new baseline."""

import argparse
import sys

from benchmarks.gate.baseline import Baseline, counts_to_compare_with
from benchmarks.gate.calls import CEILINGS, per_message
from benchmarks.gate.counting import ROOT, CannotCountError, count_all
from benchmarks.gate.toolchain import toolchain
from benchmarks.gate.verdict import compare, report
from benchmarks.servers import NotMeasuredError


def instructions_hold() -> bool:
    """Prints how instructions have changed; tells whether none became too many."""
    before = counts_to_compare_with()
    verdicts = compare(before, count_all(ROOT / "fastws"))
    print(*report(verdicts), sep="\n", flush=True)
    if any(verdict.better for verdict in verdicts):
        print("\nSome take fewer now: `make perf-baseline` lets nobody lose that again.")
    return not any(verdict.worse for verdict in verdicts)


def calls_hold() -> bool:
    """Prints the system calls of a message; tells whether they are below their ceilings."""
    print("\n| system calls of a message | | at most | |\n|---|---|---|---|")
    held = True
    for ceiling in CEILINGS:
        calls = per_message(ceiling.peer, ceiling.load)
        word = "" if calls <= ceiling.most else "WORSE"
        held = held and not word
        print(f"| {ceiling.name} | {calls:.4f} | {ceiling.most} | {word} |", flush=True)
    return held


def main() -> int:
    """Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("what", choices=("check", "baseline"), nargs="?", default="check")
    options = parser.parse_args()
    try:
        if options.what == "baseline":
            Baseline(toolchain(), count_all(ROOT / "fastws")).write()
            return 0
        held = [instructions_hold(), calls_hold()]
    except (CannotCountError, NotMeasuredError) as reason:
        print(f"The gate cannot tell: {reason}", file=sys.stderr)
        return 1
    print("\nThe gate holds." if all(held) else "\nThe gate does not hold.")
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
