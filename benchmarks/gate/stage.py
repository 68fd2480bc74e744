"""What workloads play on: a loop whose time stands still, and connections without a network."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn

from fastws.limits import Limits
from fastws.server import Config, HttpProtocol
from fastws.testing.frames import close
from fastws.wire.handshake import accept_response

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
    __slots__ = ("buffered", "hole", "protocol", "written")

    def __init__(self, hole: socket.socket, protocol: asyncio.BaseProtocol) -> None:
        self.hole = hole
        self.written = b""
        self.set_protocol(protocol)
        self.protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol: Any = protocol
        self.buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.hole if name == "socket" else None

    def read(self, data: bytes) -> None:
        """Let the protocol read something, as loops do it."""
        if self.buffered:
            n = len(data)
            self.protocol.get_buffer(-1)[:n] = data
            self.protocol.buffer_updated(n)
        else:
            self.protocol.data_received(data)

    def write(self, data: bytes) -> None:
        self.written = data

    def pause(self) -> None:
        """Take nothing more: the peer does not read."""
        self.protocol.pause_writing()

    def resume(self) -> None:
        """Take all again."""
        self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.protocol is None

    def close(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connection_lost(None)


class Stage:
    """A loop whose time stands still, and a socket that takes all that is sent to it."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        # No timer is ever due, however long it takes to count.
        self.loop.time = lambda: 0.0  # type: ignore[method-assign]
        self.loop.set_exception_handler(self._fail)
        self._failure: dict[str, Any] | None = None
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))
        self.hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.hole.connect(self.sink.getsockname())

    def turns(self, step: Callable[[], object]) -> Callable[[int], None]:
        """Return a function that does a step in each of n turns of the loop, as if it were read."""

        def turn(left: int) -> None:
            step()
            if left > 1:
                self.loop.call_soon(turn, left - 1)
            else:
                self.loop.call_soon(self.loop.stop)

        def run(n: int) -> None:
            self.loop.call_soon(turn, n)
            self.loop.run_forever()
            if self._failure is not None:
                raise RuntimeError(self._failure["message"]) from self._failure.get("exception")

        return run

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failure = context
        loop.stop()


class Server(Stage):
    """A server of one app, and its clients."""

    def __init__(self, app: Any) -> None:
        super().__init__()
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

    def connect(self, request: bytes = REQUEST) -> Transport:
        """Connect a client; the app answers its request in the next turn of the loop."""
        protocol = HttpProtocol(self.config, self.state, {}, self.loop)
        transport = Transport(self.hole, protocol)
        transport.read(request)
        return transport

    def leave(self, transport: Transport) -> None:
        """Close a connection as its client, and expect the server to end TCP."""
        if not transport.written.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError("the client has not been accepted")
        transport.read(close(1000))
        if not transport.is_closing():
            raise RuntimeError("the close frame has not been answered")

    def connected(self, clients: int) -> list[Transport]:
        """Connect some clients, and wait until the app has accepted them."""
        transports = [self.connect() for _ in range(clients)]
        self.turns(lambda: None)(1)
        if not all(transport.written for transport in transports):
            raise RuntimeError("not all clients have been accepted")
        return transports


class Client(Stage):
    """Clients of a server that is only acted.

    Attributes:
        opened: the connections that the server has accepted, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: deque[Transport] = deque()
        self.loop.create_connection = self._create_connection  # type: ignore

    def start(self, client: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Start some clients, which connect within two turns of the loop."""
        for _ in range(count):
            self.loop.create_task(client())

    async def _create_connection(
        self, make: Callable[[], asyncio.Protocol], host: str, port: int, **options: object
    ) -> tuple[Any, asyncio.Protocol]:
        protocol = make()
        transport = Transport(self.hole, protocol)
        self.loop.call_soon(self._accept, transport)
        return transport, protocol

    def _accept(self, transport: Transport) -> None:
        key = transport.written.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        transport.read(accept_response(key, ()))
        self.opened.append(transport)
