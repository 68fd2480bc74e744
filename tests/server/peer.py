"""A WebSocket client that does as it is told, however wrong: frames by hand, over a socket.

It shares no code with what it tests. What asyncio would do for it (read ahead, close when
told to) it does not: a peer that does not read fills the kernel's buffers and no other.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

from tests.processes import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # what RFC 6455 section 1.3 computes for that key

Address = tuple[str, int] | str


class Frame(NamedTuple):
    """A frame that was received."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0

    def closing(self) -> tuple[int, str]:
        """Gives the code and the reason of a close frame; 1005 if it has none."""
        if not self.payload:
            return 1005, ""
        return int.from_bytes(self.payload[:2], "big"), self.payload[2:].decode()


class Head(NamedTuple):
    """The head of an HTTP response."""

    status: int
    headers: list[tuple[bytes, bytes]]

    def get(self, name: bytes) -> bytes | None:
        """Gives the value of a header, which must be there once, or not at all."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) < 2, f"{name!r} is there {len(values)} times"
        return values[0] if values else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
) -> bytes:
    """Builds a frame as a client sends it: masked, unless `mask` is None."""
    first, size = fin << 7 | reserved << 4 | opcode, len(payload)
    bit = 0 if mask is None else 0x80
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + payload if mask is None else head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Masks or unmasks a payload (RFC 6455 section 5.3)."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def text(message: str) -> bytes:
    """Builds a text message."""
    return frame(TEXT, message.encode())


def close(code: int | None = None, reason: str = "") -> bytes:
    """Builds a close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def upgrade(
    path: str = "/ws",
    headers: Iterable[tuple[bytes, bytes | None]] = (),
    *,
    line: bytes | None = None,
) -> bytes:
    """Builds an opening handshake.

    Args:
        path: the request target.
        headers: what to add; one that is there by default is replaced, or left out if its
            value is None.
        line: the request line, instead of a good one for `path`.
    """
    fields: dict[bytes, bytes | None] = {
        b"host": b"localhost",
        b"upgrade": b"websocket",
        b"connection": b"Upgrade",
        b"sec-websocket-key": KEY,
        b"sec-websocket-version": b"13",
    }
    added = list(headers)
    kept = [(name, value) for name, value in fields.items() if name not in dict(added)]
    lines = [line if line is not None else b"GET %s HTTP/1.1" % path.encode()]
    lines += [name + b": " + value for name, value in kept + added if value is not None]
    return b"\r\n".join([*lines, b"", b""])


class Peer:
    """One TCP connection, from the client's side.

    Attributes:
        socket: the socket; non-blocking.
        buffer: what was received and not looked at yet.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = bytearray()
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, address: Address, *, receive_buffer: int | None = None) -> Self:
        """Opens a TCP connection, or one to a unix socket if the address is a path."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer = cls(sock)
        try:
            async with asyncio.timeout(PATIENCE):
                await peer.loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return peer

    def close(self) -> None:
        """Closes TCP: with FIN, or with RST if there is something unread."""
        self.socket.close()

    def reset(self) -> None:
        """Closes TCP with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish(self) -> None:
        """Sends FIN, and can still read."""
        self.socket.shutdown(socket.SHUT_WR)

    # Sending.

    async def send(self, *chunks: bytes) -> None:
        """Sends bytes, those of one call in one go."""
        async with asyncio.timeout(PATIENCE):
            await self.loop.sock_sendall(self.socket, b"".join(chunks))

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

    # Receiving.

    async def fill(self) -> bool:
        """Receives something; False at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            data = await self.loop.sock_recv(self.socket, 1 << 16)
        self.buffer += data
        return bool(data)

    async def read(self, size: int) -> bytes:
        """Receives exactly so many bytes."""
        while len(self.buffer) < size:
            if not await self.fill():
                raise EOFError(f"{size} bytes awaited, {bytes(self.buffer[:200])!r} came")
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def rest(self) -> bytes:
        """Receives all until the server ends TCP."""
        while await self.fill():
            pass
        return await self.read(len(self.buffer))

    async def gone(self) -> bytes:
        """The same, for a server that may end TCP with a reset."""
        try:
            return await self.rest()
        except ConnectionError:
            return bytes(self.buffer)

    async def head(self) -> Head:
        """Receives the head of a response."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if not await self.fill():
                raise EOFError(f"no head of a response in {bytes(self.buffer)!r}")
        line, *lines = (await self.read(end + 4))[:-4].split(b"\r\n")
        version, status, *_ = line.split(b" ")
        assert version == b"HTTP/1.1"
        pairs = [field.partition(b": ") for field in lines]
        return Head(int(status), [(name, value) for name, _, value in pairs])

    async def open(
        self, path: str = "/ws", headers: Iterable[tuple[bytes, bytes | None]] = ()
    ) -> Head:
        """Does the opening handshake."""
        await self.send(upgrade(path, headers))
        return await self.opened()

    async def opened(self) -> Head:
        """Receives the end of the opening handshake."""
        head = await self.head()
        assert head.status == 101, (head, bytes(self.buffer))
        assert head.get(b"sec-websocket-accept") == ACCEPT
        return head

    async def refused(self) -> tuple[int, bytes]:
        """Receives a refusal, and behind it nothing but the end of TCP; gives status and body."""
        head = await self.head()
        body = await self.rest()
        assert head.get(b"connection") == b"close"
        assert head.get(b"content-length") == b"%d" % len(body)
        assert head.get(b"date")
        return head.status, body

    async def frame(self) -> Frame:
        """Receives a frame."""
        first, second = await self.read(2)
        assert not second & 0x80, "5.1: a server MUST NOT mask any frames"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.read(8))
        payload = await self.read(size)
        return Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7)

    async def closed(self) -> tuple[int, str]:
        """Receives a close frame; gives its code and reason."""
        found = await self.frame()
        assert found.opcode == CLOSE, found
        return found.closing()

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
    headers: Iterable[tuple[bytes, bytes | None]] = (),
    *,
    receive_buffer: int | None = None,
    over: type[Peer] = Peer,
) -> AsyncIterator[Peer]:
    """Gives a peer whose WebSocket is open, and closes its TCP in the end."""
    peer = await over.connect(address, receive_buffer=receive_buffer)
    try:
        await peer.open(path, headers)
        yield peer
    finally:
        peer.close()


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
