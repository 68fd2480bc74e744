"""The budget of a run."""

from dataclasses import dataclass

import pytest

from loadtest.budget import Budget


@dataclass
class Entry:
    name: str = "echo"
    num_requests: int = 1000
    num_failures: int = 0
    p99: int = 10

    def get_response_time_percentile(self, percent: float) -> int:
        assert percent == 0.99
        return self.p99


BUDGET = Budget(p99=100, failures=0.01)


def test_what_is_just_within() -> None:
    assert BUDGET.excesses([Entry(p99=100, num_failures=10), Entry("idle", 0)]) == []


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (Entry(p99=101), "echo: p99 is 101 ms, above 100 ms"),
        (Entry(num_failures=11), "echo: 11 of 1000 failed, more than 1.00%"),
        (Entry("connect", 1, 1, 0), "connect: 1 of 1 failed, more than 1.00%"),
    ],
)
def test_each_excess_is_a_line(entry: Entry, line: str) -> None:
    # However much there is of what is good: each name counts for itself.
    assert BUDGET.excesses([Entry("typed", 10**9), entry]) == [line]


@pytest.mark.parametrize("entries", [[], [Entry("echo", 0, 0, 0)]])
def test_nothing_is_not_good(entries: list[Entry]) -> None:
    assert BUDGET.excesses(entries) == ["nothing was measured"]
