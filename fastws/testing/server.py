"""A real server, uvicorn with our classes, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from fastws.limits import Limits
from fastws.server import Config
from fastws.testing.call import App
from fastws.testing.peer import Address, Peer
from fastws.testing.waiting import nap, patience

# Seconds for connections and apps to end that do so by themselves.
LONGEST_END = 30.0


class Server:
    """A server that accepts connections; `serve` makes it.

    Attributes:
        server: uvicorn's own object.
        address: where it listens: host and port, or the path of a unix socket.
        connections: uvicorn's set of the open connections.
        tasks: uvicorn's set of the apps that run.
    """

    def __init__(self, server: uvicorn.Server) -> None:
        self.server = server
        self.connections = server.server_state.connections
        self.tasks = server.server_state.tasks
        self.address: Address = server.config.uds or server.servers[0].sockets[0].getsockname()[:2]

    def url(self, target: str = "/") -> str:
        """Gives the ``ws`` address of a path, for `fastws.connect` and other clients."""
        if isinstance(self.address, str):
            return f"ws://localhost{target}"
        return "ws://{}:{}{}".format(*self.address, target)

    @asynccontextmanager
    async def peer(
        self,
        target: str = "/",
        headers: Iterable[tuple[bytes, bytes | None]] = (),
        *,
        receive_buffer: int | None = None,
    ) -> AsyncIterator[Peer]:
        """Opens a WebSocket by hand, and closes its TCP in the end.

            async with server.peer("/chat") as peer:
                await peer.send_frame(TEXT, b"hi")

        Args:
            target: path and query.
            headers: as `fastws.testing.peer.upgrade` takes them.
            receive_buffer: as `Peer.connect` takes it.
        """
        peer = await Peer.connect(self.address, receive_buffer=receive_buffer)
        try:
            await peer.open(target, headers)
            yield peer
        finally:
            peer.close()

    async def emptied(self) -> None:
        """Waits until no connection is left, and no app runs any more."""

        def explain() -> str:
            return f"{len(self.connections)} connections and {len(self.tasks)} apps are left"

        async with patience(LONGEST_END, explain):
            while self.connections or self.tasks:
                await nap()

    def shut_down(self) -> asyncio.Task[None]:
        """Begins to shut down, as uvicorn does on SIGTERM."""
        return asyncio.create_task(self.server.shutdown())


@asynccontextmanager
async def serve(app: App, *, limits: Limits | None = None, **options: Any) -> AsyncIterator[Server]:
    """Serves an app on a free port of 127.0.0.1.

        async with serve(app, limits=Limits(max_message_size=100)) as server:
            async with fastws.connect(server.url("/chat")) as ws:
                ...

    In the end connections that are still open are cut, and their apps cancelled.

    Args:
        app: any ASGI app.
        limits: what one connection may cost.
        options: anything that `fastws.server.Config` takes, such as ``uds`` for a unix socket.

    Raises:
        AssertionError: the app failed to start; its log says why.
    """
    config = Config(app, limits=limits, **{"log_config": None, "port": 0, **options})
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    try:
        await server.startup()
    except SystemExit:
        raise AssertionError("the app failed to start; the log of uvicorn says why") from None
    await server.on_tick(0)  # sets the Date header
    found = Server(server)
    try:
        yield found
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list[Any](found.connections):
            connection.transport.abort()
        for task in list(found.tasks):
            task.cancel()
        await found.emptied()
        await server.lifespan.shutdown()
