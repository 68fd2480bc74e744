"""picows, through the interface that it shares with `websockets`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from picows import websockets as picows

from tests.interop.clients import Target


class PicowsPeer:
    """A connection."""

    def __init__(self, ws: picows.ClientConnection):
        self.ws = ws
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
async def connect(target: Target) -> AsyncIterator[PicowsPeer]:
    """Connects."""
    async with picows.connect(
        target.url,
        compression="deflate" if target.compression else None,
        subprotocols=target.subprotocols,
        ping_interval=None,
        proxy=None,
        ssl=target.tls,
        max_size=2**21,
    ) as ws:
        yield PicowsPeer(ws)
