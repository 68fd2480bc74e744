from asyncio import Task
from collections.abc import Coroutine
from typing import Any

from fastws.aio.hub import Member

class Receivable(Member):
    """A connection that coroutines wait for."""

class Waiter:
    """What a task waits for: as much of a future as a task needs, without its loop turn."""

class Receive:
    """What ``receive()`` returns: a coroutine in all but type."""

class Driver:
    """The coroutine of an app's task: steps the app's own, with or without the task."""

    def __init__(self, app: Coroutine[Any, Any, Any], source: Receivable) -> None: ...
    def drive(self, task: Task[Any]) -> None:
        """Tells which task this is the coroutine of."""

class Sent:
    """What ``send()`` returns when there is nothing to wait for."""

SENT: Sent

async def failed(error: BaseException) -> Any:
    """Gives an awaitable that raises: what goes wrong in send() comes out of its await."""
