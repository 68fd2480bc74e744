"""Fixtures of this folder: servers that live as long as its tests, and a watch on their logs."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.browser import browser
from tests.interop.serving import Served, Servers
from tests.processes import PATIENCE

Open = Callable[..., AbstractAsyncContextManager[ClientConnection]]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """All servers of the session."""
    servers = Servers()
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session", autouse=True)
def _browser(servers: Servers) -> Iterator[None]:
    """Ends the browser before the servers: it keeps connections that it may need again."""
    yield
    browser.end()


@pytest.fixture(params=["fastws", pytest.param("uvicorn", marks=pytest.mark.deep)])
def kind(request: pytest.FixtureRequest) -> str:
    """Which server: ours, or the control."""
    return str(request.param)


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@pytest.fixture(autouse=True)
async def errors(servers: Servers) -> AsyncIterator[list[str]]:
    """What was logged as an error; a test takes out what it expects, nothing may be left."""
    handler = _Errors()
    logging.getLogger().addHandler(handler)
    try:
        yield handler.messages
        await servers.settled()
    finally:
        logging.getLogger().removeHandler(handler)
    assert handler.messages == []


def reset(ws: ClientConnection) -> None:
    """Cuts TCP at once, as a crashed peer's kernel does."""
    raw = ws.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ws.transport.abort()


@asynccontextmanager
async def _open(served: Served, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    options = {"compression": None, "ping_interval": None, "proxy": None} | options
    async with asyncio.timeout(PATIENCE), connect(served.url(path), **options) as ws:
        yield ws


@pytest.fixture
def open_ws() -> Open:
    """The client of all tests that are not about clients: ``open_ws(served, "/path")``."""
    return _open
