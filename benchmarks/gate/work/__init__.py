"""What the gate counts: instructions of work that is done again and again, bytes of connections."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

Run = Callable[[int], None]

# By which part of its baseline a count may grow.
TOLERATED = 0.03
READS = 20  # in a turn of the loop: with one, the loop would be most of it


@dataclass(frozen=True)
class Workload:
    """Work of which instructions are counted.

    Attributes:
        prepare: returns a function that does the work n times.
        times: how often the work is done when it is counted; a tenth of that to warm up.
        each: how many messages that is each time, so that figures are for one of them.
        unit: what one of them is.
        tolerated: by which part of its baseline the count may grow.
    """

    prepare: Callable[[], Run]
    times: int
    each: int = 1
    unit: str = "message"
    tolerated: float = TOLERATED
    counted: ClassVar = "instructions"


@dataclass(frozen=True)
class Idle:
    """Open connections that send nothing, of which the bytes of memory are counted.

    Attributes:
        app: the ASGI app that has accepted them.
        connections: how many; as many again come before, so that nothing is made for the first.
        unit: what a figure is for.
        tolerated: by which part of its baseline the count may grow.
    """

    app: Any
    connections: int = 1000
    unit: str = "connection"
    tolerated: float = TOLERATED
    counted: ClassVar = "bytes"


def repeat(step: Callable[[], object]) -> Run:
    """Return a function that does a step n times, without a loop."""

    def run(n: int) -> None:
        for _ in range(n):
            step()

    return run
