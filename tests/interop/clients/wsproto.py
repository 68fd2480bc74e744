"""wsproto, which does no I/O, over asyncio's streams."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from tests.interop.clients import Target


class WsprotoPeer:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.events: deque[Event] = deque()
        self.subprotocol: str | None = None
        self.compressed = False

    async def upgrade(self, target: Target) -> None:
        """Does the handshake."""
        await self.emit(
            Request(
                host=target.url.split("/")[2],
                target=target.path,
                subprotocols=list(target.subprotocols),
                extensions=[PerMessageDeflate()] if target.compression else [],
            )
        )
        accepted = await self.event()
        assert isinstance(accepted, AcceptConnection), accepted
        self.subprotocol, self.compressed = accepted.subprotocol, bool(accepted.extensions)

    async def emit(self, event: Event) -> None:
        """Sends an event."""
        self.writer.write(self.connection.send(event))
        await self.writer.drain()

    async def event(self) -> Event:
        """Waits for the next event; answers pings, as is the user's duty."""
        while True:
            while not self.events:
                self.connection.receive_data(await self.reader.read(65536) or None)
                self.events.extend(self.connection.events())
            event = self.events.popleft()
            if not isinstance(event, Ping):
                return event
            await self.emit(event.response())

    async def send(self, data: str | bytes) -> None:
        await self.emit(TextMessage(data) if isinstance(data, str) else BytesMessage(data))

    async def receive(self) -> str | bytes:
        parts = []
        while True:
            event = await self.event()
            assert isinstance(event, Message), event
            parts.append(event.data)
            if event.message_finished:
                return "".join(parts) if isinstance(event, TextMessage) else b"".join(parts)

    async def ping(self) -> None:
        await self.emit(Ping(b"payload"))
        event = await self.event()
        assert isinstance(event, Pong), event
        assert bytes(event.payload) == b"payload"

    async def close(self, code: int, reason: str) -> None:
        await self.emit(CloseConnection(code, reason))
        await self.closed()

    async def closed(self) -> tuple[int, str]:
        event = await self.event()
        assert isinstance(event, CloseConnection), event
        if self.connection.state is ConnectionState.REMOTE_CLOSING:
            await self.emit(event.response())
        assert await self.reader.read() == b""  # RFC 6455 7.1.1: the server closes TCP first
        return event.code, event.reason or ""


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[WsprotoPeer]:
    """Connects."""
    if target.uds:
        reader, writer = await asyncio.open_unix_connection(target.uds)
    else:
        host, _, port = target.url.split("/")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=target.tls)
    try:
        peer = WsprotoPeer(reader, writer)
        await peer.upgrade(target)
        yield peer
    finally:
        writer.close()
        await writer.wait_closed()
