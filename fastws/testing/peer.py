"""A WebSocket client that does as it is told, however wrong: frames by hand, over a socket.

It shares no code with what it tests. What asyncio would do for it (read ahead, answer pings,
close when told to) it does not: it sends what a test says, and reads when a test says so. Not
to receive is to stop reading: what it is sent fills the kernel's buffers, and then the server's.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple, Self

from fastws.testing.frames import Frame, frame
from fastws.testing.waiting import PATIENCE, patience

Address = tuple[str, int] | str

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # what RFC 6455 section 1.3 computes for that key


class Head(NamedTuple):
    """The head of an HTTP response."""

    status: int
    headers: list[tuple[bytes, bytes]]

    def get(self, name: bytes) -> bytes | None:
        """Gives the value of a header, which must be there once, or not at all."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) < 2, f"{name!r} is there {len(values)} times"
        return values[0] if values else None


def upgrade(
    target: str = "/",
    headers: Iterable[tuple[bytes, bytes | None]] = (),
    *,
    line: bytes | None = None,
) -> bytes:
    """Builds the request of an opening handshake.

    Args:
        target: path and query.
        headers: what to add; one that is there by default is replaced, or left out if its
            value is None.
        line: the request line, instead of a good one for `target`.
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
    lines = [line if line is not None else b"GET %s HTTP/1.1" % target.encode()]
    lines += [name + b": " + value for name, value in kept + added if value is not None]
    return b"\r\n".join([*lines, b"", b""])


class Peer:
    """One TCP connection, from the client's side.

        async with serve(app) as server, server.peer("/chat") as peer:
            await peer.send_frame(TEXT, b"hi", masked=False)
            assert (await peer.recv_frame()).closing()[0] == 1002

    Attributes:
        socket: the socket; non-blocking.
        buffer: what was received and not looked at yet.
        loop: the event loop in which it was made.
        timeout: seconds that a wait takes at most, unless told otherwise.
    """

    timeout = PATIENCE

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = bytearray()
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, address: Address, *, receive_buffer: int | None = None) -> Self:
        """Opens a TCP connection, or one to a unix socket if the address is a path.

        Args:
            address: host and port, or a path.
            receive_buffer: bytes that the kernel may keep on this side (SO_RCVBUF); the server's
                side takes up to 4 MB, too, before a peer that does not read is noticed.
        """
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer = cls(sock)
        try:
            async with patience(cls.timeout, lambda: f"no connection to {address}"):
                await peer.loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return peer

    async def open(
        self, target: str = "/", headers: Iterable[tuple[bytes, bytes | None]] = ()
    ) -> Head:
        """Does the opening handshake; headers as `upgrade` takes them."""
        await self.send_bytes(upgrade(target, headers))
        return await self.opened()

    async def opened(self) -> Head:
        """Receives the end of an opening handshake that was sent by hand."""
        head = await self.recv_head()
        assert head.status == 101, (head, bytes(self.buffer))
        assert head.get(b"sec-websocket-accept") == ACCEPT
        return head

    # The ends of TCP.

    def close(self) -> None:
        """Closes TCP: with FIN, or with RST if there is something unread."""
        self.socket.close()

    def half_close(self) -> None:
        """Sends FIN, and can still read."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Cuts TCP with RST, as the kernel of a crashed peer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Sending.

    async def send_frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = True,
    ) -> None:
        """Sends a frame; see `fastws.testing.frames.frame`."""
        mask = {} if masked else {"mask": None}
        await self.send_bytes(frame(opcode, payload, fin=fin, rsv=rsv, **mask))

    async def send_bytes(self, *chunks: bytes) -> None:
        """Sends bytes, those of one call in one go."""
        data = b"".join(chunks)
        async with patience(self.timeout, lambda: f"not all of {len(data)} bytes could be sent"):
            await self.loop.sock_sendall(self.socket, data)

    # Receiving.

    async def recv_frame(self, timeout: float | None = None) -> Frame:
        """Receives a frame.

            assert await peer.recv_frame() == Frame(PONG, b"are you there?")

        Raises:
            TimeoutError: it did not come in time; says what did.
            EOFError: TCP ended instead.
        """
        head = await self.recv_bytes(2, timeout)
        assert not head[1] & 0x80, "5.1: a server MUST NOT mask any frames"
        size = head[1] & 0x7F
        if size > 125:
            extended = await self.recv_bytes(2 if size == 126 else 8, timeout)
            size = int.from_bytes(extended, "big")
        payload = await self.recv_bytes(size, timeout)
        return Frame(head[0] & 0x0F, payload, bool(head[0] & 0x80), head[0] >> 4 & 7)

    async def recv_head(self) -> Head:
        """Receives the head of an HTTP response."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if not await self.fill("the head of a response"):
                raise EOFError(f"no head of a response in {bytes(self.buffer)!r}")
        line, *lines = (await self.recv_bytes(end + 4))[:-4].split(b"\r\n")
        version, status, *_ = line.split(b" ")
        assert version == b"HTTP/1.1"
        pairs = [field.partition(b": ") for field in lines]
        return Head(int(status), [(name, value) for name, _, value in pairs])

    async def recv_bytes(self, size: int, timeout: float | None = None) -> bytes:
        """Receives exactly so many bytes.

        Raises:
            TimeoutError: they did not come in time; says what did.
            EOFError: TCP ended before.
        """
        while len(self.buffer) < size:
            if not await self.fill(f"{size} bytes", timeout):
                raise EOFError(f"{size} bytes awaited, {bytes(self.buffer[:200])!r} came")
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def recv_rest(self) -> bytes:
        """Receives all until the server ends TCP."""
        while await self.fill("the end of TCP"):
            pass
        return await self.recv_bytes(len(self.buffer))

    async def fill(self, awaited: str = "anything", timeout: float | None = None) -> bool:
        """Receives whatever comes, at least something; False at the end of TCP."""

        def explain() -> str:
            return f"{awaited} did not come, only {bytes(self.buffer[:200])!r}"

        async with patience(self.timeout if timeout is None else timeout, explain):
            data = await self.loop.sock_recv(self.socket, 1 << 16)
        self.buffer += data
        return bool(data)
