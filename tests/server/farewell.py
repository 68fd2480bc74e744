"""An app whose end can be watched, for servers in processes of their own."""

import asyncio
import os
from typing import Any

from fastws import App, WebSocket
from fastws.app.http import Request

app = App()
released = asyncio.Event()


@app.websocket("/ws")
async def echo(ws: WebSocket[Any]) -> None:
    await ws.accept()
    ws.join("all")
    async for message in ws:
        await ws.send(message)


@app.websocket("/undecided")
async def undecided(ws: WebSocket[Any]) -> None:
    print("undecided", flush=True)
    await asyncio.Event().wait()


@app.get("/slow")
async def slow(request: Request) -> bytes:
    print("slow", flush=True)
    await released.wait()
    return b"done"


@app.get("/release")
async def release(request: Request) -> bytes:
    released.set()
    return b"ok"


@app.on_drain
async def farewell() -> None:
    match os.environ.get("FAREWELL"):
        case "fails":
            raise RuntimeError("no farewell")
        case "never ends":
            await asyncio.Event().wait()
        case _:
            await app.rooms.publish("all", f"ready: {app.ready}")
