"""The proof of the gate: it holds ten times in a row, and fails when it should.

It should fail for a frame parser that is 5 % slower, and for a server that makes too many system
calls.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gate import trees
from benchmarks.gate.baseline import counts_to_compare_with
from benchmarks.gate.calls import CEILINGS, per_message
from benchmarks.gate.counting import Count, count_all
from benchmarks.gate.verdict import compare, report
from benchmarks.roster import UVICORN

SPREAD = 0.005
# The workload in which next to nothing but the frame parser runs, and its function.
PARSING, PARSER = "read fragments", "fastws.wire.frames.parse_header"
PLANTED = 0.05
LOOP = 6  # instructions of a turn of the planted loop
FILE = "wire/frames.pyx"
BEFORE = '''
cdef int parse_header(const uint8_t *data, size_t n, Header *header) noexcept nogil:
    """Reads a frame header from the first n bytes; returns its size, or a Parse code."""
'''
DECLARATION = """
cdef extern from *:
    \"\"\"
    static inline void waste(int turns) { for (volatile int i = turns; i; i--); }
    \"\"\"
    void waste(int turns) noexcept nogil
"""


def planted(instructions: float) -> Path:
    """Return the package with a frame parser that takes so many instructions more."""
    turns = round(instructions / LOOP)
    after = DECLARATION + BEFORE + f"    waste({turns})\n"
    tree = trees.with_change("planted", FILE, BEFORE, after, Path(sys.executable))
    return tree / "fastws"


def failures(package: Path, runs: int) -> Iterator[str]:
    """Say what is not as it should be."""
    before = counts_to_compare_with()
    counts = []
    for number in range(1, runs + 1):
        counts.append(count_all(package))
        worse = [verdict.name for verdict in compare(before, counts[-1]) if verdict.worse]
        print(f"run {number}: {f'worse: {worse}' if worse else 'holds'}", flush=True)
        if worse:
            yield f"run {number} does not hold"
    yield from spreads(counts)
    print("\nWith a frame parser that takes 5 % more of its workload:\n")
    slower = planted(PLANTED * before[PARSING].amount)
    verdicts = compare(before, count_all(slower))
    print(*report(verdicts), sep="\n", flush=True)
    found = next(verdict for verdict in verdicts if verdict.name == PARSING)
    if not found.worse or found.grown()[0][0] != PARSER:
        yield "the slower parser is not found out"
    calls = per_message(UVICORN, CEILINGS[0].load)
    print(f"\nWith uvicorn's own class: {calls:.2f} system calls, {CEILINGS[0].name}")
    if calls <= CEILINGS[0].most:
        yield "the system calls are not found out"


def spreads(counts: list[dict[str, Count]]) -> Iterator[str]:
    """Print how far the runs are apart."""
    print("\n| workload | smallest | largest | spread |\n|---|---|---|---|")
    for name in counts[0]:
        found = sorted(run[name].amount for run in counts)
        spread = found[-1] / found[0] - 1
        print(f"| {name} | {found[0]:,.2f} | {found[-1]:,.2f} | {spread:.4%} |")
        if spread > SPREAD:
            yield f"{name} spreads by {spread:.2%}"


def main(package: Path, runs: int) -> int:
    """Return the exit code."""
    found = list(failures(package, runs))
    print("", *(found or ["Proven."]), sep="\n")
    return int(bool(found))
