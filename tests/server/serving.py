"""A uvicorn server in the event loop of the test, so that both see the same objects."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastws.limits import Limits
from fastws.testing.call import App, Event, Receive, Scope, Send
from fastws.testing.server import Server as Running
from fastws.testing.server import serve
from fastws.testing.waiting import nap, patience
from tests.processes import PATIENCE

__all__ = [
    "ACCEPT",
    "ON_CLOCK",
    "App",
    "Event",
    "Receive",
    "Running",
    "Scope",
    "Script",
    "Send",
    "echo",
    "fds",
    "hello",
    "ignore",
    "running",
    "until",
]

ACCEPT: Event = {"type": "websocket.accept"}
# A clock needs asyncio's own event loop.
ON_CLOCK = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)


class Script:
    """An app that does what a test says; what it returns or raises, the test gets by `outcome`."""

    def __init__(self, act: Callable[[Receive, Send], Awaitable[Any]]) -> None:
        self.act = act
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            result = await self.act(receive, send)
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


def limit_kernel(server: Running) -> None:
    """Lets the kernel keep little of what the only connection sends; else it takes some MB."""
    (connection,) = server.connections
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def fds() -> int:
    """Counts the open file descriptors of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition: Callable[[], Any]) -> None:
    """Waits for what has no event of its own."""
    async with patience(PATIENCE, lambda: "what was waited for did not come"):
        while not condition():
            await nap()


@asynccontextmanager
async def running(app: App, limits: Limits | None = None, **options: Any) -> AsyncIterator[Running]:
    """Serves an app on a port of its own, with our classes unless the options say otherwise."""
    options = {"lifespan": "off"} | options
    async with (
        patience(PATIENCE, lambda: "the test did not end"),
        serve(app, limits=limits, **options) as server,
    ):
        yield server


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends every message back until the client leaves."""
    await receive()
    await send(ACCEPT)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes over WebSocket, and greets over HTTP."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
        return
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hi"})


async def ignore(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts, and then only waits to be cancelled."""
    await receive()
    await send(ACCEPT)
    await asyncio.Event().wait()
