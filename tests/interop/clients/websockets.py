"""`websockets`, with asyncio and with threads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as tcp
from websockets.asyncio.client import unix_connect as unix
from websockets.exceptions import ConnectionClosed
from websockets.sync import client as sync

from tests.interop.clients import Target
from tests.processes import PATIENCE


def options(target: Target) -> dict[str, Any]:
    """Gives the arguments that both have in common."""
    return {
        "compression": "deflate" if target.compression else None,
        "subprotocols": list(target.subprotocols) or None,
        "ssl": target.tls,
        "ping_interval": None,
    }


class AsyncPeer:
    """A connection with asyncio."""

    def __init__(self, ws: ClientConnection):
        self.ws = ws
        assert ws.response is not None
        self.subprotocol = ws.subprotocol
        self.compressed = "permessage-deflate" in ws.response.headers.get(
            "Sec-WebSocket-Extensions", ""
        )

    async def send(self, data: str | bytes) -> None:
        await self.ws.send(data)

    async def receive(self) -> str | bytes:
        return await self.ws.recv()

    async def ping(self) -> None:
        await (await self.ws.ping(b"payload"))

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code, reason)

    async def closed(self) -> tuple[int, str]:
        await self.ws.wait_closed()
        return self.ws.close_code or 0, self.ws.close_reason or ""


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[AsyncPeer]:
    """Connects with asyncio."""
    if target.uds:
        connecting = unix(str(target.uds), target.url, **options(target))
    else:
        connecting = tcp(target.url, proxy=None, **options(target))
    async with connecting as ws:
        yield AsyncPeer(ws)


class SyncPeer:
    """A connection with threads."""

    def __init__(self, ws: sync.ClientConnection):
        self.ws = ws
        assert ws.response is not None
        self.subprotocol = ws.subprotocol
        self.compressed = "permessage-deflate" in ws.response.headers.get(
            "Sec-WebSocket-Extensions", ""
        )

    async def send(self, data: str | bytes) -> None:
        await asyncio.to_thread(self.ws.send, data)

    async def receive(self) -> str | bytes:
        return await asyncio.to_thread(self.ws.recv)

    async def ping(self) -> None:
        assert await asyncio.to_thread(self.ws.ping(b"payload").wait, PATIENCE)

    async def close(self, code: int, reason: str) -> None:
        await asyncio.to_thread(self.ws.close, code, reason)

    async def closed(self) -> tuple[int, str]:
        try:
            raise AssertionError(f"unexpected message: {await self.receive()!r}")
        except ConnectionClosed:
            return self.ws.close_code or 0, self.ws.close_reason or ""


@asynccontextmanager
async def connect_sync(target: Target) -> AsyncIterator[SyncPeer]:
    """Connects with threads."""

    def connecting() -> Any:
        if target.uds:
            return sync.unix_connect(str(target.uds), target.url, **options(target))
        return sync.connect(target.url, proxy=None, **options(target))

    with ExitStack() as stack:
        ws = await asyncio.to_thread(lambda: stack.enter_context(connecting()))
        closing = stack.pop_all().close
    try:
        yield SyncPeer(ws)
    finally:
        await asyncio.to_thread(closing)
