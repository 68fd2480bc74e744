from collections.abc import Awaitable
from typing import Any

from fastws.aio.hub import Member

class Receivable(Member):
    """A connection that coroutines wait for."""

class Waiter:
    """What a task waits for: as much of a future as a task needs, without its loop turn."""

class Receive:
    """What ``receive()`` returns: a coroutine in all but type."""

class Sent:
    """What ``send()`` returns when there is nothing to wait for."""

SENT: Sent

async def failed(error: BaseException) -> Any:
    """Gives an awaitable that raises: what goes wrong in send() comes out of its await."""
