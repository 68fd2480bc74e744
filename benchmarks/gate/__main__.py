"""`python -m benchmarks.gate [check|baseline|proof]`: judge, in an environment of its own."""

import sys

from benchmarks.gate.commands import CannotCountError
from benchmarks.gate.environment import enter

if __name__ == "__main__":
    try:
        enter("benchmarks.gate.judging", sys.argv[1:])
    except CannotCountError as reason:
        sys.exit(f"The gate cannot tell: {reason}")
