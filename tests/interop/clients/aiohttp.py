"""aiohttp's client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, UnixConnector, WSMsgType

from tests.interop.clients import Target


class AiohttpPeer:
    """A connection."""

    def __init__(self, ws: ClientWebSocketResponse[Any]):
        self.ws = ws
        self.subprotocol = ws.protocol
        self.compressed = bool(ws.compress)

    async def send(self, data: str | bytes) -> None:
        await (self.ws.send_str(data) if isinstance(data, str) else self.ws.send_bytes(data))

    async def receive(self) -> str | bytes:
        message = await self.ws.receive()
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        data: str | bytes = message.data
        return data

    async def ping(self) -> None:
        await self.ws.ping(b"payload")
        message = await self.ws.receive()
        assert (message.type, bytes(message.data)) == (WSMsgType.PONG, b"payload")

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code=code, message=reason.encode())

    async def closed(self) -> tuple[int, str]:
        message = await self.ws.receive()
        assert message.type is WSMsgType.CLOSE, message
        return message.data, message.extra or ""


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[AiohttpPeer]:
    """Connects."""
    connector = UnixConnector(str(target.uds)) if target.uds else TCPConnector()
    async with (
        ClientSession(connector=connector) as session,
        session.ws_connect(
            target.url,
            protocols=target.subprotocols,
            compress=15 if target.compression else 0,
            ssl=target.tls or True,
            autoping=not target.pongs,
        ) as ws,
    ):
        yield AiohttpPeer(ws)
