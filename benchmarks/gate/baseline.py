"""What instructions are compared with: a file, or the commit that changed that file last."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.gate import trees
from benchmarks.gate.counting import Count, count_all
from benchmarks.gate.toolchain import toolchain

FILE = Path(__file__).with_name("baseline.json")
# Functions that take less of a workload are not in the file.
VISIBLE = 0.002


@dataclass(frozen=True)
class Baseline:
    """Counts, and what they were made with."""

    toolchain: dict[str, str]
    counts: dict[str, Count]

    @classmethod
    def read(cls) -> Self:
        """Reads the file."""
        content = json.loads(FILE.read_text())
        counts = {name: Count(**count) for name, count in content["counts"].items()}
        return cls(content["toolchain"], counts)

    def write(self) -> None:
        """Writes the file."""
        counts = {name: shortened(count) for name, count in self.counts.items()}
        content = {"toolchain": self.toolchain, "counts": counts}
        FILE.write_text(json.dumps(content, indent=1) + "\n")

    def differences(self) -> list[str]:
        """Says what is different here."""
        here = toolchain()
        return [
            f"{key}: {here.get(key)}, in the baseline {self.toolchain.get(key)}"
            for key in {**self.toolchain, **here}
            if here.get(key) != self.toolchain.get(key)
        ]


def shortened(count: Count) -> dict[str, object]:
    """A count without what is too small to be looked at."""
    functions = sorted(count.functions.items(), key=lambda item: -item[1])
    least = VISIBLE * count.instructions
    return {
        "instructions": round(count.instructions, 1),
        "functions": {name: round(cost, 1) for name, cost in functions if cost > least},
    }


def counts_to_compare_with() -> dict[str, Count]:
    """The file's, if they are of this toolchain; else those of its commit, counted here."""
    baseline = Baseline.read()
    differences = baseline.differences()
    if not differences:
        return baseline.counts
    print("The baseline is of another toolchain:", *differences, sep="\n  ")
    commit = trees.last_change(FILE)
    print(f"So {commit[:12]}, which changed it last, is built and counted here.", flush=True)
    return count_all(trees.at_commit(commit))
