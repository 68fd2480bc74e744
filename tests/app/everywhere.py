"""An app for servers in processes of their own: each route does what a test looks at."""

import asyncio
import time
from typing import Any

from fastws import App, Disconnected, HandshakeError, Limits, Message, ProtocolError, WebSocket
from fastws.app import Close, Request

app = App()

# What has become of the handlers of /watch, in the order of their ends.
outcomes: list[list[Any]] = []

Socket = WebSocket[Any]


class Chat(Message):
    content: str


class Join(Message):
    room: str


class Said(Message):
    content: str


class Joined(Message):
    room: str


@app.websocket("/echo")
async def echo(ws: Socket) -> None:
    await ws.accept()
    async for message in ws:
        await ws.send(message)


@app.websocket("/typed", messages=Chat | Join)
async def typed(ws: WebSocket[Chat | Join]) -> None:
    await ws.accept()
    async for message in ws:
        match message:
            case Join(room):
                ws.join(room)
                await ws.send(Joined(room))
            case Chat(content):
                for room in ws.rooms:
                    await ws.publish(room, Said(content))
                await ws.send(Said("done"))


@app.websocket("/small", limits=Limits(max_message_size=10, max_rooms=2))
async def small(ws: Socket) -> None:
    await ws.accept()
    async for message in ws:
        await ws.send(message)


@app.websocket("/request/{name}")
async def request(ws: Socket) -> None:
    """Tells what the server says about the request."""
    await ws.accept()
    await ws.send_json([ws.path_params["name"], ws.client, ws.headers["x-a"]])


@app.websocket("/refuse")
async def refuse(ws: Socket) -> None:
    raise HandshakeError(418, "a teapot", ((b"x-pot", b"1"),), fields={"pot": "small"})


@app.websocket("/fail")
async def fail(ws: Socket) -> None:
    raise ZeroDivisionError


@app.websocket("/close/{code}")
async def close(ws: Socket) -> None:
    await ws.accept()
    raise ProtocolError(int(ws.path_params["code"]), "that way out")


@app.websocket("/bug")
async def bug(ws: Socket) -> None:
    await ws.accept()
    await ws.receive()
    raise ZeroDivisionError


@app.websocket("/return")
async def finish(ws: Socket) -> None:
    await ws.accept()


@app.websocket("/kick")
async def kick(ws: Socket) -> None:
    """Is closed by what is not its handler, as by a timer, and meanwhile receives."""
    await ws.accept()
    asyncio.get_running_loop().call_soon(ws.close_soon, 4000, "kicked")
    async for _ in ws:
        pass


@app.websocket("/expire")
async def expire(ws: Socket) -> None:
    """Receives beyond its time."""
    await ws.accept()
    ws.expire_at(time.time())
    async for _ in ws:
        pass


@app.websocket("/watch/{how}")
async def watch(ws: Socket) -> None:
    """Notices the end by receiving or sending, and tells how it did."""
    how = ws.path_params["how"]
    await ws.accept()
    ws.join("watched")
    await ws.send("ready")
    try:
        match how:
            case "receive":
                await _receive_on(ws)
            case "both":
                async with asyncio.TaskGroup() as group:
                    group.create_task(_send_on(ws))
                    group.create_task(_receive_on(ws))
            case "late":
                async for _ in ws:
                    pass
                await ws.send("into the void")
            case "iterate":
                *_, event = [event async for event in ws.events()]
                assert isinstance(event, Close)
                outcomes.append([how, event.code, event.reason, event.code != 1006])
    except* Disconnected as group:
        # The task that sends may be told by less than the one that receives.
        error = group.exceptions[-1]
        assert isinstance(error, Disconnected)
        outcomes.append([how, error.code, error.reason, error.clean])


async def _send_on(ws: Socket) -> None:
    while True:
        await ws.send("tick")
        await asyncio.sleep(0.001)


async def _receive_on(ws: Socket) -> None:
    while True:
        await ws.receive()


@app.get("/outcomes")
async def tell(_: Request) -> dict[str, Any]:
    """Tells what has become of handlers, and who is still in a room."""
    return {"outcomes": outcomes, "rooms": app.rooms.names(), "members": app.rooms.population}
