"""A room whose clients say what is to become of them; `GET /` tells what there is."""

import asyncio
import logging
import os
from dataclasses import asdict
from typing import Any

from fastws import App, WebSocket
from fastws.app.http import Request

# Thousands of handlers fail as they were told to.
logging.getLogger("fastws.app").setLevel(logging.CRITICAL)

app = App()


@app.websocket("/ws")
async def obey(ws: WebSocket[str]) -> None:
    """Everybody is in the room "room", and in those that they name."""
    await ws.accept()
    ws.join("room")
    async for text in ws:
        order, _, room = text.partition(" ")
        match order:
            case "join":
                ws.join(room)
            case "kick":
                await ws.close(4000, "kicked")
            case "fail":
                raise RuntimeError("as it was told to")
            case _:
                await ws.publish("room", text)


@app.get("/")
async def numbers(_: Request) -> dict[str, Any]:
    """What there is, and what has been."""
    return {
        "rooms": len(app.rooms.names()),
        "members": app.rooms.population,
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        **asdict(app.rooms.counters),
    }
