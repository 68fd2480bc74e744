"""`python -m benchmarks.crowd [slow] [leaving]`: what a room suffers, and what it must not."""

import argparse
import sys
from collections.abc import Callable

from benchmarks.crowd.leaving import leaving
from benchmarks.crowd.slow import slow


def main() -> int:
    """Runs what is asked for, or both; gives 1 if something was not as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="slow|leaving", help="by default both")
    parser.add_argument("--rounds", type=int, help="3 for slow, 200 for leaving")
    parser.add_argument("--seconds", type=float, default=3, help="of each run of slow")
    parser.add_argument("--clients", type=int, default=500, help="in each round of leaving")
    options = parser.parse_args()
    runs: dict[str, Callable[[], bool]] = {
        "slow": lambda: slow(options.rounds or 3, options.seconds),
        "leaving": lambda: leaving(options.rounds or 200, options.clients),
    }
    if unknown := set(options.what) - set(runs):
        parser.error(f"neither slow nor leaving: {', '.join(sorted(unknown))}")
    passed = [runs[name]() for name in options.what or runs]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
