from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from fastws.aio.counters import Counters

class Member: ...

class Hub:
    """What the connections of one event loop share."""

    loop: AbstractEventLoop
    read_view: memoryview
    counters: Counters

    def __init__(self, loop: AbstractEventLoop) -> None: ...
    def set_deadline(self, protocol: Any, seconds: float) -> None:
        """Has ``protocol.on_deadline()`` called unless `clear_deadline` comes first."""
    def clear_deadline(self, protocol: Any) -> None:
        """Forgets the deadline of a protocol, if it has one."""
    def drain(self, close: Callable[[], object], window: float) -> None:
        """Calls `close` soon, spread with others over at most `window` seconds."""

def hub_of(loop: AbstractEventLoop) -> Hub:
    """Gives the hub of an event loop, its first time a new one."""
