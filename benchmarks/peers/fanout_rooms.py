"""The fan-out of fastws: whatever a client sends, all others in the room get."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastws.rooms import Member, Rooms

Event = MutableMapping[str, Any]
rooms = Rooms()


async def app(
    scope: Event,
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
) -> None:
    """One room; on any ASGI server."""
    await receive()
    await send({"type": "websocket.accept"})
    member = Member(send, scope["extensions"].get("fastws"))
    rooms.join(member, "room")
    while (event := await receive())["type"] == "websocket.receive":
        await rooms.publish("room", event["text"], exclude=member)
    member.end()
