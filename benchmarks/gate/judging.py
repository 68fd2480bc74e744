"""What `python -m benchmarks.gate` does in its environment: it judges, or makes a new baseline."""

import argparse
import sys
from pathlib import Path

import fastws
from benchmarks.gate import proof
from benchmarks.gate.baseline import Baseline, counts_to_compare_with
from benchmarks.gate.calls import CEILINGS, per_message
from benchmarks.gate.commands import CannotCountError
from benchmarks.gate.counting import count_all
from benchmarks.gate.toolchain import toolchain
from benchmarks.gate.verdict import compare, report
from benchmarks.servers import NotMeasuredError

PACKAGE = Path(fastws.__file__).parent


def counts_hold() -> bool:
    """Print how instructions and bytes have changed; return whether none became too many."""
    before = counts_to_compare_with()
    verdicts = compare(before, count_all(PACKAGE))
    print(*report(verdicts), sep="\n", flush=True)
    if any(verdict.better for verdict in verdicts):
        print("\nSome take less now: `make perf-baseline` lets nobody lose that again.")
    return not any(verdict.worse for verdict in verdicts)


def calls_hold() -> bool:
    """Print the system calls of a message; return whether they are below their ceilings."""
    print("\n| system calls of a message | | at most | |\n|---|---|---|---|")
    held = True
    for ceiling in CEILINGS:
        calls = per_message(ceiling.peer, ceiling.load)
        word = "" if calls <= ceiling.most else "WORSE"
        held = held and not word
        print(f"| {ceiling.name} | {calls:.4f} | {ceiling.most} | {word} |", flush=True)
    return held


def check() -> int:
    """Judge; return the exit code."""
    held = [counts_hold(), calls_hold()]
    print("\nThe gate holds." if all(held) else "\nThe gate does not hold.")
    return int(not all(held))


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("what", choices=("check", "baseline", "proof"), nargs="?", default="check")
    parser.add_argument("--runs", type=int, default=10, help="of a proof (%(default)s)")
    options = parser.parse_args()
    try:
        match options.what:
            case "baseline":
                Baseline(toolchain(), count_all(PACKAGE)).write()
                return 0
            case "proof":
                return proof.main(PACKAGE, options.runs)
            case _:
                return check()
    except (CannotCountError, NotMeasuredError) as reason:
        print(f"The gate cannot tell: {reason}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
