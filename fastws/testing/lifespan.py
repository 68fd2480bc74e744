"""Startup and shutdown of an app, for clients that call it without a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastws.testing.call import App, Call, Event, Receive, Scope, Send
from fastws.testing.scopes import ASGI
from fastws.testing.waiting import PATIENCE


class LifespanCall(Call):
    """An app that has been called for its lifespan.

    Attributes:
        answer: the event with which the app answered the last one.
    """

    answer: Event | None = None

    async def on_event(self, event: Event) -> None:
        """Takes the app's answer."""
        if not event["type"].startswith("lifespan."):
            self.blame(f"the app sent {event['type']!r} during its lifespan")
        self.answer = event
        self.wake()

    async def phase(self, name: str) -> None:
        """Goes through one phase, ``startup`` or ``shutdown``."""
        self.answer = None
        self.tell({"type": f"lifespan.{name}"})
        await self.until(lambda: self.answer is not None, f"the end of {name}")
        assert self.answer is not None
        if self.answer["type"] != f"lifespan.{name}.complete":
            raise AssertionError(f"{name} failed: {self.answer.get('message') or self.answer}")


@asynccontextmanager
async def lifespan(app: App, timeout: float = PATIENCE) -> AsyncIterator[App]:
    """Starts an app, and shuts it down in the end.

        async with lifespan(app) as app, connect(app, "/chat") as ws:
            ...

    Args:
        app: an ASGI app that knows the lifespan scope.
        timeout: seconds for the startup, and for the shutdown.

    Returns:
        The app, which now finds in every scope what the startup has left in its ``state``.

    Raises:
        AssertionError: the app reports that one of them failed.
        TimeoutError: one took too long; says where the app is.
        Exception: what the app raised.
    """
    state: dict[str, Any] = {}
    call = LifespanCall(app, {"type": "lifespan", "asgi": dict(ASGI), "state": state}, timeout)

    async def started(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    try:
        await call.phase("startup")
        yield started
        await call.phase("shutdown")
    except BaseException:
        await call.cancel()
        raise
    await call.finish()
