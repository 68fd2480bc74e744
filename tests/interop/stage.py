"""How a test and the app that it talks to, in another thread, tell each other things."""

import asyncio
import queue
from concurrent.futures import Future
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from tests.processes import PATIENCE

_stages: dict[str, "Stage"] = {}


class Stage:
    """One test and one connection of its app.

    The app finds it by the query string of its connection, so a path with ``stage.query``
    is all that they have to agree on.
    """

    def __init__(self) -> None:
        self.query = f"?stage={uuid4().hex}"
        _stages[self.query] = self
        self.members: dict[Any, Any] = {}
        self._reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cue: Future[None] = Future()

    @classmethod
    def of(cls, scope: dict[str, Any]) -> "Stage":
        """Gives the app the stage of its connection."""
        return _stages[f"?stage={parse_qs(scope['query_string'].decode())['stage'][0]}"]

    def report(self, value: Any) -> None:
        """Lets the app tell the test something."""
        self._reports.put(value)

    async def reported(self) -> Any:
        """Waits for the app's next report."""
        return await asyncio.to_thread(self._reports.get, timeout=PATIENCE)

    def give_cue(self) -> None:
        """Lets the app go on."""
        self._cue.set_result(None)

    async def cue(self) -> None:
        """Lets the app wait for the test."""
        await asyncio.wrap_future(self._cue)
