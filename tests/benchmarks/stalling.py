"""An echo that is busy with something else for a while, once."""

import time
from itertools import count

from fastws import WebSocket
from fastws.app.portable import Receive, Scope, Send

STALL = 0.3
numbers = count()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    async with WebSocket[str](scope, receive, send) as ws:
        await ws.accept()
        async for message in ws:
            if next(numbers) == 50:
                time.sleep(STALL)  # noqa: ASYNC251 - that is the point
            await ws.send(message)
