"""Real servers, in threads of this process so that a test and its app can talk.

``KINDS`` is what is compared: uvicorn with our two protocol classes, and uvicorn with the
WebSocket that it brings. Both get the same apps and must meet the same expectations, except
for those in `tests.interop.differences`.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import uvicorn
import uvloop

from tests.processes import PATIENCE

App = Callable[[Any, Any, Any], Awaitable[None]]

KINDS: dict[str, dict[str, Any]] = {
    "fastws": {"http": "fastws.server:HttpProtocol", "ws": "fastws.server:WebSocketProtocol"},
    "uvicorn": {"http": "httptools", "ws": "websockets-sansio"},
}


def eager_uvloop() -> asyncio.AbstractEventLoop:
    """A loop on which a task runs at once, up to its first wait (CPython 3.12 and later)."""
    return _eager(uvloop.new_event_loop())


def eager_asyncio() -> asyncio.AbstractEventLoop:
    """The same without uvloop."""
    return _eager(asyncio.new_event_loop())


def _eager(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        # asyncio.eager_task_factory of some 3.13.x does not take uvloop's eager_start=None.
        return asyncio.Task(coro, loop=loop, **options | {"eager_start": True})

    # Not before it runs: the task that runs the server itself cannot be eager.
    loop.call_soon(loop.set_task_factory, factory)
    return loop


def debug_uvloop() -> asyncio.AbstractEventLoop:
    """A loop that refuses what must not be done from another thread."""
    return _debug(uvloop.new_event_loop())


def debug_asyncio() -> asyncio.AbstractEventLoop:
    """The same without uvloop."""
    return _debug(asyncio.new_event_loop())


def _debug(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    # Not before it runs: on CPython 3.11, uvicorn turns that off once it has the loop.
    loop.call_soon(loop.set_debug, True)
    return loop


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.decided = threading.Event()

    async def startup(self, *args: Any, **kwargs: Any) -> None:
        await super().startup(*args, **kwargs)
        self.decided.set()

    def run(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().run(*args, **kwargs)
        finally:
            self.decided.set()


class Served:
    """An app that is being served.

    Attributes:
        kind: which of ``KINDS`` serves it.
        host: its address; the path of its unix socket if it has one.
        port: its port, or 0.
        tls: whether it expects TLS.
    """

    def __init__(self, app: App, kind: str, *, loop: str = "uvloop", **options: Any):
        self.kind = kind
        # Without a logging configuration of its own its records reach pytest.
        config = uvicorn.Config(
            app, port=0, loop=loop, log_config=None, **{"lifespan": "off"} | KINDS[kind] | options
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, name=f"{kind} on {loop}")
        self._thread.start()
        assert self._server.decided.wait(PATIENCE), "it never came up"
        assert self._server.started, "it did not start"
        self.tls = bool(options.get("ssl_certfile"))
        self.host, self.port = options.get("uds") or "127.0.0.1", 0
        if "uds" not in options:
            self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def url(self, path: str = "/") -> str:
        """Gives the ws(s) address of a path; on a unix socket the host in it means nothing."""
        place = f"127.0.0.1:{self.port}" if self.port else "localhost"
        return f"{'wss' if self.tls else 'ws'}://{place}{path}"

    async def settled(self) -> None:
        """Waits until no app is running any more; ends one that hangs, so that it fails one test.

        Raises:
            AssertionError: one did hang.
        """
        deadline = monotonic() + PATIENCE / 3
        while tasks := list(self._server.server_state.tasks):
            if monotonic() > deadline:
                for task in tasks:
                    task.get_loop().call_soon_threadsafe(task.cancel)
                raise AssertionError(f"still running: {tasks}")
            await asyncio.sleep(0.002)  # uvicorn has no event for this

    def stop(self) -> None:
        """Asks it to end, as SIGTERM does; `join` waits for that."""
        self._server.should_exit = True

    def join(self) -> None:
        """Waits for its end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{self._thread.name} does not end"


class Servers:
    """Starts each server when a test first asks for it, and keeps it for the tests to come."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], Served] = {}

    def get(self, kind: str, name: str, app: Callable[[], App], **options: Any) -> Served:
        """Gives the server of this kind and name; ``app`` makes its app."""
        if (kind, name) not in self.running:
            self.running[kind, name] = Served(app(), kind, **options)
        return self.running[kind, name]

    async def settled(self) -> None:
        """Waits until no app of any server is running any more."""
        for served in self.running.values():
            await served.settled()

    def stop(self) -> None:
        """Ends all of them."""
        for served in self.running.values():
            served.stop()
        for served in self.running.values():
            served.join()
