"""A clock for tests: the time of the event loop stands still until the test moves it."""

import asyncio
import math
import time
from typing import Any, Self

from fastws.testing.waiting import patience, settle

LONGEST_WAY = 60.0  # real seconds


class Clock:
    """Stops the time of the running event loop, and moves it.

        with Clock() as clock:
            async with serve(app) as server, server.peer("/ws") as peer:
                await clock.advance(20)                       # the ping interval
                assert (await peer.recv_frame()).opcode == PING

    `loop.time()` stands, and so does all that asyncio makes of it: `asyncio.sleep`, timeouts,
    `call_later`. Sockets and threads go on as ever, and the waits of this kit take real seconds.
    Other clocks, such as `time.monotonic`, are left alone; give code that asks for the date
    `clock.time` instead of `time.time`.

    It needs asyncio's own event loop: uvloop keeps its time to itself.
    """

    def __init__(self) -> None:
        # Whole numbers, so that fractions of powers of two add up without an error.
        self._date = float(math.floor(time.time()))
        self._start = self._now = 0.0
        self._went_on: float | None = None
        # Any, since asyncio has no public names for its timers and for what is ready.
        self._loop: Any = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise RuntimeError(
                f"a Clock needs asyncio's own event loop, and this is {type(loop).__module__}'s"
            )
        self._loop = loop
        self._went_on = None
        self._start = self._now = float(math.ceil(loop.time()))
        loop.time = self.monotonic  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        # From here on time goes by again. Going back to where it stopped would leave timers
        # that were set meanwhile far in the future.
        self._went_on = time.monotonic()
        self._loop = None

    @classmethod
    def standing(cls) -> Self | None:
        """Gives the clock that has stopped the time of the running loop, if there is one."""
        clock = getattr(asyncio.get_running_loop().time, "__self__", None)
        return clock if isinstance(clock, cls) and clock._went_on is None else None

    def monotonic(self) -> float:
        """Gives the time of the loop, in seconds; in place of `loop.time` and `time.monotonic`."""
        if self._went_on is None:
            return self._now
        return self._now + time.monotonic() - self._went_on

    def time(self) -> float:
        """Gives the date, in seconds since 1970; in place of `time.time`."""
        return self._date + self.monotonic() - self._start

    async def advance(self, seconds: float) -> None:
        """Moves the time, and runs what falls due on the way, each at its time, in order.

            await clock.advance(20)

        Before time goes on, all that is ready runs, what comes through sockets of this process
        included. What a thread or another process does meanwhile is not waited for.

        Args:
            seconds: how far; 0 only runs what is ready.

        Raises:
            TimeoutError: there is always something more to run.
        """
        if self._loop is None:
            raise RuntimeError("this clock has not been entered: with Clock() as clock")
        if seconds < 0:
            raise ValueError("time does not go back")
        end = self._now + seconds
        async with patience(LONGEST_WAY, lambda: f"no rest on the way to {seconds} s"):
            await self.settle()
            while (due := self._next_timer()) < end:
                self._now = max(self._now, due)
                await self.settle()
            self._now = end
            await self.settle()

    async def settle(self) -> None:
        """Runs all that is ready, timers that are due and sockets of this process included."""
        # What timers and sockets make ready is put here by the loop, once in each of its turns.
        await settle(lambda: bool(self._loop._ready))

    def _next_timer(self) -> float:
        timers: list[asyncio.TimerHandle] = self._loop._scheduled  # a heap
        return timers[0].when() if timers else math.inf
