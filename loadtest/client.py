"""A blocking client: the codec of fastws on a socket of gevent's, which locust is made of.

A connection has no thread and no event loop of its own: the greenlet waits that calls. Of several,
one may receive while others send.
"""

import errno
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any, Self

from gevent import Timeout, get_hub, getcurrent, socket
from gevent import ssl as tls

from fastws.errors import Disconnected
from fastws.limits import Limits
from fastws.wire import Compression, Connection, Deflate, Opcode, Role
from fastws.wire.opening import Address, Agreement, Headers, Opening, parse_uri

READ_SIZE = 16 * 1024
Event = tuple[Opcode, str | bytes | tuple[int, str]]

# The event of gevent's watchers: there is something to read.
READ = 1

# Seconds; of libev's timers, 0 is for none at all.
AT_ONCE, NEVER = 1e-3, 1e9
# Seconds for the server to make room for what is sent.
SEND_TIMEOUT = 30.0
# Seconds for it to answer a close frame, and then to end TCP.
CLOSE_TIMEOUT = 5.0


def connect(
    uri: str,
    *,
    headers: Headers | None = None,
    compression: bool = False,
    ssl: tls.SSLContext | None = None,
    uds: str | None = None,
    receive_buffer: int | None = None,
    timeout: float = 10.0,
) -> "Client":
    """Opens a WebSocket.

        with connect("ws://127.0.0.1:8000/ws") as ws:
            ws.send("hello")
            print(ws.recv(timeout=1.0))

    Args:
        uri: ``ws://`` or ``wss://``.
        headers: more headers for the request.
        compression: whether to offer permessage-deflate.
        ssl: for ``wss://``, the context to use instead of the system's certificates.
        uds: the path of a unix socket to connect to instead of the URI's host.
        receive_buffer: bytes that the kernel may hold for us; a small one lets the server see early
            that we do not read.
        timeout: seconds for all of it: DNS, TCP, TLS and the handshake.

    Raises:
        ValueError: the URI or a header cannot be used.
        OSError: no connection came about, or (`Disconnected`) it ended before the response.
        TimeoutError: the server took longer than `timeout`.
        HandshakeError: the server refused; with status 502, its answer breaks RFC 6455.
    """
    address = parse_uri(uri)
    limits = Limits.for_messages(None)
    opening = Opening(address, headers, (), Deflate() if compression else None, limits)
    with Timeout(timeout, TimeoutError):
        sock = _dial(address, uds, receive_buffer)
        try:
            if address.secure:
                sock = (ssl or _default_context()).wrap_socket(sock, server_hostname=address.host)
            agreement = _agree(sock, opening)
        except BaseException:
            sock.close()
            raise
    deflate = None
    if agreement.params is not None and opening.deflate is not None:
        deflate = Compression(agreement.params, opening.deflate, False)
    return Client(sock, Connection(Role.CLIENT, limits, deflate), agreement)


class Client:
    """An open WebSocket; `connect` makes it.

    Attributes:
        agreement: what the handshake came to: headers, compression.
    """

    def __init__(self, sock: socket.socket, connection: Connection, agreement: Agreement) -> None:
        self.agreement = agreement
        self._socket = sock
        # What is encrypted may be decrypted already: then the socket has to be asked.
        self._readable = (
            None if isinstance(sock, tls.SSLSocket) else get_hub().loop.io(sock.fileno(), READ)
        )
        self._timeout: float | None = None
        self._timer = get_hub().loop.timer(0.0, NEVER)
        self._connection = connection
        self._sending = False
        self._ended = False
        if agreement.rest:
            connection.receive_data(agreement.rest)

    def send(self, message: str | bytes) -> None:
        """Sends a str as text, bytes as binary; waits while the kernel's buffers are full.

        Raises:
            Disconnected: the connection is over.
            TimeoutError: the server has read nothing for `SEND_TIMEOUT`.
        """
        if self._ended:
            raise self._disconnected()
        if isinstance(message, str):
            self._connection.send_text(message)
        else:
            self._connection.send_binary(message)
        self._flush()

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Receives the next message: text as str, binary as bytes.

        Args:
            timeout: seconds to wait for it; None for as long as it takes.

        Raises:
            Disconnected: the connection is over.
            TimeoutError: there was none in time; what has come of it is kept.
        """
        opcode, payload = self._connection.next_event() or self._read(timeout)
        if opcode is Opcode.CLOSE:
            self._flush()  # our close frame, where the server's came first
            self._ended = True
            raise self._disconnected()
        assert isinstance(payload, str | bytes)
        return payload

    def __iter__(self) -> Iterator[str | bytes]:
        """Gives all messages until the end of the connection."""
        try:
            while True:
                yield self.recv()
        except Disconnected:
            return

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection, and waits for the server's close frame; messages are skipped."""
        with suppress(OSError), Timeout(CLOSE_TIMEOUT, TimeoutError):
            if not self._ended:
                self._connection.send_close(code, reason)
                self._flush()
                for _ in self:
                    pass
            # RFC 6455 7.1.1: it is the server that ends TCP first.
            while self._receive():
                pass
        self.drop()

    def drop(self) -> None:
        """Ends TCP without a close frame, as a program that is killed does."""
        self._ended = True
        if self._readable is not None:
            dropped = OSError(errno.EBADF, "dropped by another greenlet")
            get_hub().cancel_wait(self._readable, dropped, close_watcher=True)
            self._readable = None
        self._timer.close()
        self._socket.close()

    def reset(self) -> None:
        """Cuts TCP at once, as a machine does that has forgotten the connection."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.drop()

    def send_raw(self, data: bytes) -> None:
        """Sends bytes past the codec, to break the protocol with."""
        self._socket.sendall(data)

    @property
    def close_code(self) -> int | None:
        """The close code, once the connection is over; 1006 if there was no close frame."""
        return (self._connection.close_code or 1006) if self._ended else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close(1000 if kind is None else 1011)
        else:
            self.drop()  # a greenlet that is killed is not to wait

    def _read(self, timeout: float | None) -> Event:
        """Reads until an event is complete."""
        timer = self._timer_of(timeout)
        timer.again(getcurrent().throw, TimeoutError)
        try:
            while True:
                self._connection.receive_data(self._receive())
                event = self._connection.next_event()
                self._flush()
                if event is not None:
                    return event
        finally:
            timer.stop()

    def _timer_of(self, timeout: float | None) -> Any:
        """Gives the timer for a wait: mostly the one before, since a new one takes its time."""
        if timeout != self._timeout:
            self._timer.close()
            seconds = NEVER if timeout is None else max(timeout, AT_ONCE)
            self._timer, self._timeout = get_hub().loop.timer(0.0, seconds), timeout
        return self._timer

    def _receive(self) -> bytes:
        """Reads once."""
        try:
            if self._readable is not None:
                # To try it first would cost a system call, and would let who has much to read
                # keep all others from it.
                socket.wait(self._readable)
            data: bytes = self._socket.recv(READ_SIZE)
        except TimeoutError:
            raise
        except OSError:  # reset, or dropped by another greenlet
            data = b""
        if not data:
            self._ended = True
            raise self._disconnected()
        return data

    def _flush(self) -> None:
        """Sends what the codec has; if another greenlet is at it, that one takes it along."""
        if self._sending:
            return
        self._sending = True
        try:
            while data := self._connection.data_to_send():
                sent = self._socket.send(data)
                if sent < len(data):
                    self._socket.sendall(memoryview(data)[sent:])
        except ConnectionError:
            # Why it is over may still wait to be received.
            self._ended = True
            raise self._disconnected() from None
        except BaseException:
            self.drop()  # what has gone out of a frame cannot be taken back
            raise
        finally:
            self._sending = False

    def _disconnected(self) -> Disconnected:
        connection = self._connection
        code = connection.close_code or 1006
        return Disconnected(code, connection.close_reason or "", connection.close_received)


def _dial(address: Address, uds: str | None, receive_buffer: int | None) -> socket.socket:
    """Opens what the WebSocket goes over."""
    family: int = socket.AF_UNIX
    target: Any = uds
    if uds is None:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, *_, target = found[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_buffer is not None:
            # Before connecting: TCP agrees on the scale of its window then.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if uds is None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(target)
        sock.settimeout(SEND_TIMEOUT)
    except BaseException:
        sock.close()
        raise
    return sock


def _agree(sock: socket.socket, opening: Opening) -> Agreement:
    """Takes the opening handshake to its end."""
    sock.sendall(opening.request)
    while data := sock.recv(READ_SIZE):
        if (agreement := opening.receive(data)) is not None:
            return agreement
    raise opening.refusal() or Disconnected()


@cache
def _default_context() -> tls.SSLContext:
    return tls.create_default_context()
