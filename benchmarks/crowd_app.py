"""A room whose clients say what is to become of them; `GET /` tells what there is."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import Any

from fastws.rooms import Member, Rooms

Event = MutableMapping[str, Any]
Send = Callable[[Event], Awaitable[None]]
rooms = Rooms()


async def app(scope: Event, receive: Callable[[], Awaitable[Event]], send: Send) -> None:
    """Everybody is in the room "room", and in those that they name."""
    if scope["type"] == "http":
        await tell(send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    member = Member(send, scope["extensions"].get("fastws"))
    rooms.join(member, "room")
    try:
        while (event := await receive())["type"] == "websocket.receive":
            await act(member, event["text"])
    finally:
        member.end()


async def act(member: Member, text: str) -> None:
    """Does what a client says; what is no order, all others in the room get."""
    order, _, room = text.partition(" ")
    match order:
        case "join":
            rooms.join(member, room)
        case "kick":
            member.close(4000, "kicked")
        case "fail":
            raise RuntimeError("as it was told to")
        case _:
            await rooms.publish("room", text, exclude=member)


async def tell(send: Send) -> None:
    """Answers with numbers, as JSON."""
    numbers = {
        "rooms": len(rooms.names()),
        "members": rooms.population,
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        **asdict(rooms.counters),
    }
    body = json.dumps(numbers).encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
