"""Waiting in a test: at most so many real seconds, or exactly until nothing is left to run."""

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

PATIENCE = 5.0  # seconds that a wait takes at most, unless told otherwise

_locks: WeakKeyDictionary[AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


@asynccontextmanager
async def patience(seconds: float, explain: Callable[[], str]) -> AsyncIterator[None]:
    """Bounds a wait.

        async with patience(5, lambda: f"no answer; {len(queue)} messages wait"):
            ...

    The seconds are real ones, also where a `fastws.testing.Clock` has stopped the loop's time.

    Args:
        seconds: how long to wait.
        explain: says what did not come; called only then.

    Raises:
        TimeoutError: the time is up.
    """
    loop = asyncio.get_running_loop()
    timer = None
    if has_own_time(loop):
        timeout = asyncio.timeout(seconds)
    else:
        timeout = asyncio.timeout(None)
        timer = threading.Timer(seconds, loop.call_soon_threadsafe, (timeout.reschedule, 0))
        timer.daemon = True
        timer.start()
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise
        raise TimeoutError(f"{explain()} (waited {seconds:g} s)") from None
    finally:
        if timer is not None:
            timer.cancel()


def has_own_time(loop: AbstractEventLoop) -> bool:
    """Tells whether the time of a loop is its own, and not that of a clock in a test."""
    return getattr(loop.time, "__self__", None) is loop


async def nap() -> None:
    """Lets others run for a moment, before one looks again at what has no event of its own."""
    await asyncio.sleep(0.001 if has_own_time(asyncio.get_running_loop()) else 0)


async def settle(busy: Callable[[], bool] = lambda: False) -> None:
    """Runs the loop until no callback is ready, and so no task can go on.

    What a timer, a socket or a thread will make ready later is not waited for.

    Args:
        busy: tells whether there is more to wait for than callbacks.
    """
    # All that is ready stands in one queue, into which `call_soon` puts it. This task yields to
    # the end of that queue; if it is back and nobody has called meanwhile, the queue is empty.
    # Only a timer comes past `call_soon`: one of 0 s, set in one turn of the loop, is put behind
    # this task in the next, and so has not run before the third.
    loop = asyncio.get_running_loop()
    calls = 0

    async with _locks.setdefault(loop, asyncio.Lock()):
        call_soon = loop.call_soon

        def counting(callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
            nonlocal calls
            calls += 1
            return call_soon(callback, *args, context=context)

        loop.call_soon = counting  # type: ignore[method-assign, assignment]
        try:
            quiet = 0
            while quiet < 3:
                calls = 0
                await asyncio.sleep(0)
                only_this_task = calls == 1
                quiet = quiet + 1 if only_this_task and not busy() else 0
        finally:
            del loop.call_soon
