"""What a run may not exceed, in one place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Entry(Protocol):
    """The figures of one name, as locust has them."""

    name: str
    num_requests: int
    num_failures: int

    def get_response_time_percentile(self, percent: float) -> int:
        """Gives the milliseconds that this part of the requests has kept within."""


@dataclass(frozen=True)
class Budget:
    """What a run may not exceed.

    Attributes:
        p99: milliseconds that 99 % of the requests of each name keep within. Wide, since it has to
            hold on a shared machine as well; what is slower than that is broken anywhere.
        failures: what part of the requests of each name may fail.
    """

    p99: float = 250.0
    failures: float = 0.001

    def excesses(self, entries: Iterable[Entry]) -> list[str]:
        """Gives a line for each name that has exceeded the budget, or one if there was nothing."""
        lines = []
        total = 0
        for entry in entries:
            total += entry.num_requests
            p99 = entry.get_response_time_percentile(0.99)
            if p99 > self.p99:
                lines.append(f"{entry.name}: p99 is {p99} ms, above {self.p99:g} ms")
            if entry.num_failures > self.failures * entry.num_requests:
                lines.append(
                    f"{entry.name}: {entry.num_failures} of {entry.num_requests} failed, "
                    f"more than {self.failures:.2%}"
                )
        return lines if total else ["nothing was measured"]
