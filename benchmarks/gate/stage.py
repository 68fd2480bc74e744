"""What workloads play on: a loop whose time stands still, and clients without a socket."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from fastws.limits import Limits
from fastws.server import Config, HttpProtocol
from fastws.testing.frames import close

REQUEST = (
    b"GET /ws?token=abc HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: Mozilla/5.0\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nPragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\nOrigin: http://127.0.0.1:8000\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


class Transport:
    """A TCP transport of a loop, but for TCP.

    What is sent straight to the socket goes to one of UDP that nobody reads: it takes all, always.
    """

    __module__ = "asyncio.stage"  # only of a loop's own transports is the app resumed in a read

    def __init__(self, hole: socket.socket) -> None:
        self.hole = hole
        self.protocol: Any = None
        self.written = b""

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.hole if name == "socket" else None

    def read(self, data: bytes) -> None:
        """Has the protocol read something, as loops do it."""
        n = len(data)
        self.protocol.get_buffer(-1)[:n] = data
        self.protocol.buffer_updated(n)

    def write(self, data: bytes) -> None:
        self.written = data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.protocol is None

    def close(self) -> None:
        protocol, self.protocol = self.protocol, None
        protocol.connection_lost(None)


class Stage:
    """A server of one app, without its sockets."""

    def __init__(self, app: Any) -> None:
        self.loop = asyncio.SelectorEventLoop()
        # No timer is ever due, however long it takes to count.
        self.loop.time = lambda: 0.0  # type: ignore[method-assign]
        self.config = Config(
            app,
            limits=Limits(),
            lifespan="off",
            log_config=None,
            log_level="error",
            ws_per_message_deflate=False,
        )
        self.config.load()
        self.state = uvicorn.Server(self.config).server_state
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))
        self.hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.hole.connect(self.sink.getsockname())

    def connect(self) -> Transport:
        """Connects a client; the app accepts it in the next turn of the loop."""
        transport = Transport(self.hole)
        transport.protocol = HttpProtocol(self.config, self.state, {}, self.loop)
        transport.protocol.connection_made(transport)
        transport.read(REQUEST)
        return transport

    def leave(self, transport: Transport) -> None:
        """Has a client close, and sees the server end TCP."""
        if not transport.written.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError("the client has not been accepted")
        transport.read(close(1000))
        if not transport.is_closing():
            raise RuntimeError("the close frame has not been answered")

    def connected(self, clients: int) -> list[Transport]:
        """Connects some clients, and has them accepted."""
        transports = [self.connect() for _ in range(clients)]
        self.turns(lambda: None)(1)
        if not all(transport.written for transport in transports):
            raise RuntimeError("not all clients have been accepted")
        return transports

    def turns(self, step: Callable[[], object]) -> Callable[[int], None]:
        """Gives what does a step in each of n turns of the loop, as if it had been read."""

        def turn(left: int) -> None:
            step()
            if left > 1:
                self.loop.call_soon(turn, left - 1)
            else:
                self.loop.call_soon(self.loop.stop)

        def run(n: int) -> None:
            self.loop.call_soon(turn, n)
            self.loop.run_forever()

        return run
