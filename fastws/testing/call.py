"""One call of an ASGI app: the task in which it runs, what it is told and what it tells."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NoReturn

from fastws.testing.stack import innermost
from fastws.testing.waiting import patience

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Event]]
Send = Callable[[Event], Coroutine[Any, Any, None]]
# Apps name these types in their own ways.
App = Callable[[Any, Any, Any], Awaitable[None]]

# An app that receives its end this often does not look at what it receives.
MAX_ENDS = 100


class Call(ABC):
    """An app that runs for one scope.

    Attributes:
        scope: what it is called with.
        timeout: seconds that a wait for it takes at most, unless told otherwise.
        end: what it receives, again and again, once there is nothing else to receive any more.
    """

    def __init__(self, app: App, scope: Scope, timeout: float) -> None:
        self.scope = scope
        self.timeout = timeout
        self.end: Event | None = None
        self._inbox: deque[Event] = deque()
        self._receiving = 0
        self._ends = 0
        self._blamed: AssertionError | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(app))
        self._task.add_done_callback(self._on_over)

    # The app's side.

    async def _run(self, app: App) -> None:
        result: object = await app(self.scope, self._receive, self._send)  # type: ignore[func-returns-value]
        if result is not None:
            self.blame(f"the app returned {result!r}; an ASGI app returns None")

    def _on_over(self, task: asyncio.Task[None]) -> None:
        # Taken here, so that asyncio does not report it as well.
        _ = task.cancelled() or task.exception()
        self.wake()

    async def _receive(self) -> Event:
        self._receiving += 1
        self.wake()
        try:
            while not self._inbox and self.end is None:
                await self.change()
        finally:
            self._receiving -= 1
        if self._inbox:
            return self._inbox.popleft()
        assert self.end is not None
        self._ends += 1
        if self._ends > MAX_ENDS:
            self.blame(f"the app receives again and again after {self.end['type']!r}")
        return dict(self.end)

    async def _send(self, event: Event) -> None:
        if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
            self.blame(f"the app sent {event!r}; an event is a dict with a type")
        await self.on_event(event)

    @abstractmethod
    async def on_event(self, event: Event) -> None:
        """Takes what the app sends."""

    def blame(self, fault: str) -> NoReturn:
        """Raises in the app, and in the test even if the app should catch that."""
        self._blamed = AssertionError(fault)
        raise self._blamed

    # The test's side.

    def tell(self, event: Event) -> None:
        """Lets the app receive an event."""
        self._inbox.append(event)
        self.wake()

    def wake(self) -> None:
        """Has everybody look again who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Waits until something may have changed."""
        await self._changed.wait()

    @property
    def waits(self) -> bool:
        """Whether the app waits for an event."""
        return self._receiving > 0

    @property
    def over(self) -> bool:
        """Whether the app has returned or raised."""
        return self._task.done()

    async def until(
        self, ready: Callable[[], Any], awaited: str, timeout: float | None = None
    ) -> None:
        """Waits for something that the app does.

        Args:
            ready: whether it has.
            awaited: what it is, for the message of the exception.
            timeout: seconds to wait, instead of `self.timeout`.

        Raises:
            TimeoutError: it has not, in time; says what the app waits for.
            Exception: what the app raised instead.
            AssertionError: the app returned instead, or did what no server puts up with.
        """
        seconds = self.timeout if timeout is None else timeout
        async with patience(seconds, lambda: f"{awaited} did not come; {self.whereabouts()}"):
            while not ready():
                self.raise_fault()
                if self.over:
                    raise AssertionError(f"{awaited} did not come, but the app has returned")
                await self.change()

    def fault(self) -> BaseException | None:
        """Gives what the app has raised, or done wrong, if it has."""
        if self._blamed is not None:
            return self._blamed
        if self._task.cancelled():
            return AssertionError("the app was cancelled")
        return self._task.exception() if self._task.done() else None

    def raise_fault(self) -> None:
        """Raises it."""
        fault = self.fault()
        if fault is not None:
            raise fault

    async def finish(self) -> None:
        """Waits until the app has returned, and cancels it if it does not.

        Raises:
            TimeoutError: it has not, in time; says what the app waited for.
            Exception: what the app raised.
        """
        try:
            async with patience(self.timeout, lambda: f"the app did not end; {self.whereabouts()}"):
                await asyncio.wait([self._task])
        except TimeoutError:
            await self.cancel()
            raise
        self.raise_fault()

    async def cancel(self) -> None:
        """Ends the app, whatever it does."""
        self._task.cancel()
        async with patience(1, lambda: f"the app cannot be cancelled; {self.whereabouts()}"):
            await asyncio.wait([self._task])

    def whereabouts(self) -> str:
        """Say at which line of the user's the app waits, or of the framework's if it has none."""
        if self.over:
            return "the app has ended"
        frame = innermost(self._task.get_coro())
        if frame is None:
            return "the app waits"
        code = frame.f_code
        return f"the app waits at {code.co_filename}:{frame.f_lineno}, in {code.co_qualname}"
