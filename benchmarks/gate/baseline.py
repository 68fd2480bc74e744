"""What counts are compared with: a file, or the commit that changed that file last."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.gate import trees
from benchmarks.gate.counting import Count, count_all
from benchmarks.gate.toolchain import toolchain
from benchmarks.gate.workloads import WORKLOADS

FILE = Path(__file__).with_name("baseline.json")
# Parts that take less of a workload are not in the file.
VISIBLE = 0.002


@dataclass(frozen=True)
class Baseline:
    """Counts, and what they were made with."""

    toolchain: dict[str, str]
    counts: dict[str, Count]

    @classmethod
    def read(cls) -> Self:
        """Read the file."""
        content = json.loads(FILE.read_text())
        counts = {name: Count(**count) for name, count in content["counts"].items()}
        return cls(content["toolchain"], counts)

    def write(self) -> None:
        """Write the file."""
        counts = {name: shortened(count) for name, count in self.counts.items()}
        content = {"toolchain": self.toolchain, "counts": counts}
        FILE.write_text(json.dumps(content, indent=1) + "\n")

    def differences(self) -> list[str]:
        """Say what is different here."""
        here = toolchain()
        return [
            f"{key}: {here.get(key)}, in the baseline {self.toolchain.get(key)}"
            for key in {**self.toolchain, **here}
            if here.get(key) != self.toolchain.get(key)
        ]


def shortened(count: Count) -> dict[str, object]:
    """Return a count without the parts that are too small to be looked at."""
    parts = sorted(count.parts.items(), key=lambda item: -item[1])
    least = VISIBLE * count.amount
    return {
        "amount": round(count.amount, 1),
        "parts": {name: round(cost, 1) for name, cost in parts if cost > least},
    }


def counts_to_compare_with() -> dict[str, Count]:
    """Return the file's counts, if they are of this toolchain; else those of its commit."""
    baseline = Baseline.read()
    differences = baseline.differences()
    if not differences:
        return baseline.counts
    print("The baseline is of another toolchain:", *differences, sep="\n  ")
    commit = trees.last_change(FILE)
    print(f"So {commit[:12]}, which changed it last, is compiled and counted here.", flush=True)
    # A workload that came later may not run with that commit, and has nothing to be compared with.
    names = [name for name in WORKLOADS if name in baseline.counts]
    return count_all(trees.at_commit(commit, Path(sys.executable)) / "fastws", names)
