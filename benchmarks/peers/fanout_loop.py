"""What everybody is told to write: whatever a client sends, a loop sends to all others."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Event = MutableMapping[str, Any]
Send = Callable[[Event], Awaitable[None]]
members: set[Send] = set()


async def app(scope: Event, receive: Callable[[], Awaitable[Event]], send: Send) -> None:
    """One room, without a library."""
    await receive()
    await send({"type": "websocket.accept"})
    members.add(send)
    while (event := await receive())["type"] == "websocket.receive":
        for member in members - {send}:
            await member({"type": "websocket.send", "text": event["text"]})
    members.discard(send)
