"""uvicorn's server, with an end that clients, the app and the load balancer are told of in time.

On SIGTERM or SIGINT it drains: upgrades are refused with 503, the app is told (an `App` turns
``/readyz`` red), and WebSockets are closed with 1012, spread over `Limits.drain_window`. All that
while its sockets listen, so that whoever comes gets an answer. What is left then has
`Limits.close_timeout` and a second. A second signal ends it at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from copy import copy
from socket import socket
from types import FrameType
from typing import Any

import uvicorn

from fastws.server.config import Config, limits_for

logger = logging.getLogger("uvicorn.error")

# Seconds between two looks at what is left.
POLL = 0.05
# For a request that is on its way.
MOMENT = 0.3

Hook = Callable[[], Awaitable[None]]


class ServerState(uvicorn.server.ServerState):
    """What the connections of a server share.

    Attributes:
        draining: whether upgrades are to be refused, since the process is about to end.
    """

    draining = False


class Server(uvicorn.Server):
    """A server that drains before it shuts down.

    The app is told by ``scope["extensions"]["fastws"]["on_drain"]`` of its lifespan scope, which
    takes an async function.

    Attributes:
        succeeded: whether another process accepts from the same sockets, so that this one is to
            leave them alone while it drains.
    """

    succeeded = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.server_state: ServerState = ServerState()
        self._hooks: list[Hook] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal: the first one begins the end, the second one cuts it short."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Starts the app, and then to accept connections."""
        config = copy(self.config)
        config.loaded_app = self._with_extension(config.loaded_app)
        self.lifespan = config.lifespan_class(config)
        await super().startup(sockets)
        self.announce()

    def announce(self) -> None:
        """Called when the server has begun to serve."""

    def _with_extension(self, app: Any) -> Any:
        """Gives an app that finds our extension in the scope of its lifespan."""

        async def extended(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {"fastws": {"on_drain": self._hooks.append}}
            await app(scope, receive, send)

        return extended

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drains, and then ends what is left."""
        now = asyncio.get_running_loop().time()
        end = now + (self.config.timeout_graceful_shutdown or 0)
        self.server_state.draining = True
        if self.succeeded:
            self._leave_sockets()
        await self._drain(now + limits_for(self.config).drain_window, end)
        if self.force_exit:
            self._abort()
        left = max(0.0, end - asyncio.get_running_loop().time())
        self.config.timeout_graceful_shutdown = left  # type: ignore[assignment] # any number
        await super().shutdown(sockets)

    async def _drain(self, until: float, end: float) -> None:
        logger.info("Draining %d connections", len(self.server_state.connections))
        await self._tell_app(until)
        connections: Any = self.server_state.connections
        now = asyncio.get_running_loop().time()
        leaving = {each for each in list(connections) if each.drain(max(0.0, until - now))}
        await self._wait(lambda: not leaving & connections, end)
        self._leave_sockets()
        # Whoever has only connected, perhaps a moment ago, is about to ask for something.
        moment = asyncio.get_running_loop().time() + MOMENT
        await self._wait(lambda: not connections, min(moment, end))

    def _leave_sockets(self) -> None:
        for server in self.servers:
            server.close()

    async def _tell_app(self, until: float) -> None:
        """Runs what the app wants to do first; that time is the drain's."""
        telling = asyncio.gather(*map(_run, self._hooks), return_exceptions=True)
        if not await self._wait(telling.done, until):
            telling.cancel()
            logger.error("on_drain has not ended within drain_window, and is cancelled")
            return
        for error in telling.result():
            if error is not None:
                logger.error("on_drain failed", exc_info=error)

    async def _wait(self, done: Callable[[], bool], until: float) -> bool:
        """Waits until it is done, or has taken too long, or is cut short; tells whether it is."""
        loop = asyncio.get_running_loop()
        while not done():
            if self.force_exit or loop.time() >= until:
                return False
            await asyncio.sleep(POLL)
        return True

    def _abort(self) -> None:
        connections: Any = self.server_state.connections
        for connection in list(connections):
            connection.transport.abort()
        for task in self.server_state.tasks:
            task.cancel()


async def _run(hook: Hook) -> None:
    await hook()
