"""A server that does what a test says, byte by byte; its frames are made here, by hand."""

import asyncio
import socket
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1

from fastws.testing import frames
from fastws.testing.frames import BINARY, CLOSE, PING, PONG, TEXT

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "Peer", "Play", "Script", "frame"]


Script = Callable[["Peer"], Awaitable[None]]
Play = Callable[[Script], Awaitable[str]]


def frame(opcode: int, payload: bytes = b"", *, key: bytes = b"") -> bytes:
    """Builds a final frame; with a key, a masked one, which no server may send."""
    return frames.frame(opcode, payload, mask=key or None)


class Peer:
    """One connection, from the server's side.

    Attributes:
        request: the head of the client's request, once `read_request` has it.
        compressed: whether the last frame that was read says so.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.request = b""
        self.compressed = False

    async def read_request(self) -> None:
        self.request = await self.reader.readuntil(b"\r\n\r\n")

    def header(self, name: str) -> str:
        """Gives a header of the request, which must have it once."""
        lines = self.request.decode().split("\r\n")
        (found,) = [line for line in lines if line.lower().startswith(f"{name.lower()}: ")]
        return found.partition(": ")[2]

    def response(self, **changes: str | None) -> bytes:
        """Builds the 101 response; a change replaces a header, or leaves it out."""
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = sha1((self.header("Sec-WebSocket-Key") + guid).encode()).digest()
        headers = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec_websocket_accept": b64encode(digest).decode(),
        } | changes
        lines = ["HTTP/1.1 101 Switching Protocols"]
        lines += [f"{n.replace('_', '-')}: {v}" for n, v in headers.items() if v is not None]
        return "\r\n".join([*lines, "", ""]).encode()

    async def accept(self, behind: bytes = b"") -> None:
        """Opens the WebSocket; more bytes can follow the response in one piece."""
        await self.read_request()
        self.writer.write(self.response() + behind)

    async def read_frame(self) -> tuple[int, bytes]:
        """Reads a frame, which must be masked; gives its opcode and its payload."""
        first, second = await self.reader.readexactly(2)
        assert second & 0x80
        self.compressed = bool(first & 0x40)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        key = await self.reader.readexactly(4)
        return first & 0x0F, frames.masked(await self.reader.readexactly(size), key)

    async def read_end(self) -> bytes:
        """Waits for the end of TCP, an orderly one or not; gives what came before."""
        data = b""
        try:
            while more := await self.reader.read(65536):
                data += more
        except ConnectionResetError:
            pass
        return data

    def reset(self) -> None:
        """Cuts TCP at once, as a crashed peer's kernel does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
