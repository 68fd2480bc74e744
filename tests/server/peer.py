"""The peer of the test kit, with what only the tests of our own server ask of it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fastws import testing
from fastws.testing.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    frame,
    masked,
    text,
)
from fastws.testing.peer import ACCEPT, KEY, Address, Head
from fastws.testing.peer import upgrade as upgrade_to
from tests.processes import PATIENCE

__all__ = [
    "ACCEPT",
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "KEY",
    "PING",
    "PONG",
    "TEXT",
    "Address",
    "Frame",
    "Head",
    "Peer",
    "close",
    "connected",
    "frame",
    "masked",
    "request",
    "tcp",
    "text",
    "upgrade",
]

Headers = Iterable[tuple[bytes, bytes | None]]


def upgrade(path: str = "/ws", headers: Headers = (), *, line: bytes | None = None) -> bytes:
    """Builds an opening handshake; see `fastws.testing.peer.upgrade`."""
    return upgrade_to(path, headers, line=line)


class Peer(testing.Peer):
    """One TCP connection, from the client's side."""

    timeout = PATIENCE

    read = testing.Peer.recv_bytes
    rest = testing.Peer.recv_rest
    head = testing.Peer.recv_head
    frame = testing.Peer.recv_frame
    finish = testing.Peer.half_close

    async def send(self, *chunks: bytes) -> None:
        """Sends bytes, those of one call in one go."""
        await self.send_bytes(*chunks)

    async def dribble(self, data: bytes) -> None:
        """Sends bytes one by one, each a TCP segment of its own."""
        for i in range(len(data)):
            await self.send(data[i : i + 1])
            await asyncio.sleep(0)

    def send_some(self, data: bytes) -> int:
        """Sends what the kernel takes at once, and gives how much that was."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    async def gone(self) -> bytes:
        """Receives all until the server ends TCP, be it with a reset."""
        try:
            return await self.rest()
        except ConnectionError:
            return bytes(self.buffer)

    async def open(self, target: str = "/ws", headers: Headers = ()) -> Head:
        """Does the opening handshake."""
        return await super().open(target, headers)

    async def refused(self) -> tuple[int, bytes]:
        """Receives a refusal, and behind it nothing but the end of TCP; gives status and body."""
        head = await self.head()
        body = await self.rest()
        assert head.get(b"connection") == b"close"
        assert head.get(b"content-length") == b"%d" % len(body)
        assert head.get(b"date")
        return head.status, body

    async def closed(self) -> tuple[int, str]:
        """Receives a close frame; gives its code and reason."""
        found = await self.frame()
        assert found.opcode == CLOSE, found
        return found.closing()

    async def restarted(self) -> str:
        """Receives the close frame of a server that restarts; gives its reason."""
        code, reason = await self.closed()
        assert code == 1012
        assert re.fullmatch(r"restarting retry_ms=\d{1,3}", reason)
        return reason

    async def ended(self) -> tuple[int, str]:
        """Receives whatever comes, up to a close frame and the end of TCP behind it."""
        while True:
            found = await self.frame()
            if found.opcode == CLOSE:
                break
        assert await self.rest() == b""
        return found.closing()


def request(method: bytes = b"GET", headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Builds the head of a plain HTTP request."""
    fields = [(b"host", b"localhost"), *headers]
    lines = [method + b" / HTTP/1.1", *(name + b": " + value for name, value in fields)]
    return b"\r\n".join([*lines, b"", b""])


@asynccontextmanager
async def connected(
    address: Address,
    path: str = "/ws",
    headers: Headers = (),
    *,
    receive_buffer: int | None = None,
    over: type[Peer] = Peer,
) -> AsyncIterator[Peer]:
    """Gives a peer whose WebSocket is open, and closes its TCP in the end."""
    async with tcp(address, receive_buffer=receive_buffer, over=over) as peer:
        await peer.open(path, headers)
        yield peer


@asynccontextmanager
async def tcp(
    address: Address, *, receive_buffer: int | None = None, over: type[Peer] = Peer
) -> AsyncIterator[Peer]:
    """Gives a peer that has only TCP."""
    peer = await over.connect(address, receive_buffer=receive_buffer)
    try:
        yield peer
    finally:
        peer.close()
