"""A uvicorn server in the event loop of the test, so that both see the same objects."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from fastws.limits import Limits
from fastws.server import Config
from tests.processes import PATIENCE

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Event]]
Send = Callable[[Event], Coroutine[Any, Any, None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

ACCEPT: Event = {"type": "websocket.accept"}


class Running:
    """A server that accepts connections.

    Attributes:
        address: what to connect to.
        connections: uvicorn's set of them.
        tasks: uvicorn's set of the apps that run.
    """

    def __init__(self, server: uvicorn.Server) -> None:
        self.server = server
        self.connections = server.server_state.connections
        self.tasks = server.server_state.tasks
        uds = server.config.uds
        self.address = uds or server.servers[0].sockets[0].getsockname()[:2]

    async def emptied(self) -> None:
        """Waits until no connection is left, and no app runs any more."""
        await until(lambda: not self.connections and not self.tasks)

    def shut_down(self) -> asyncio.Task[None]:
        """Shuts down, as uvicorn does on SIGTERM."""
        return asyncio.create_task(self.server.shutdown())


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


def fds() -> int:
    """Counts the open file descriptors of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition: Callable[[], Any]) -> None:
    """Waits for what has no event of its own."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(app: App, limits: Limits | None = None, **options: Any) -> AsyncIterator[Running]:
    """Serves an app on a port of its own, with our classes unless the options say otherwise."""
    options = {"lifespan": "off", "log_config": None, "port": 0} | options
    config = Config(app, limits=limits, **options)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await server.on_tick(0)  # sets the Date header
    found = Running(server)
    try:
        async with asyncio.timeout(PATIENCE):
            yield found
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list(found.connections):
            transport = getattr(connection, "transport", None)
            if transport is None:
                connection.shutdown()
            else:
                transport.abort()
        for task in list(found.tasks):
            task.cancel()
        await found.emptied()


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
