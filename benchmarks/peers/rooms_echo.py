"""An echo through rooms: a connection is alone in $ROOMS of them, and publishes to each in turn."""

import os
from itertools import cycle

from fastws import Limits, WebSocket
from fastws.app.portable import Receive, Scope, Send
from fastws.rooms import Rooms

rooms = Rooms()
names = [f"room {number}" for number in range(int(os.environ.get("ROOMS", "1")))]
limits = Limits(max_rooms=len(names))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Enter all, publish to the next."""
    async with WebSocket[str](scope, receive, send, rooms=rooms, limits=limits) as ws:
        await ws.accept()
        for name in names:
            ws.join(name)
        turns = cycle(names)
        async for message in ws:
            await rooms.publish(next(turns), message)
