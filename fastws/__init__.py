"""fastws: WebSockets for ASGI apps, on a compiled codec.

The path of a message, from the socket to the app and back:

    socket -> server.http (request head, upgrade) -> aio.endpoint (a read into the loop's buffer)
      -> wire.frames (header, unmask) -> wire.connection (reassemble, inflate, UTF-8, limits)
      -> server.protocol (ASGI events; the waiting task is resumed, once per read) -> app
      -> server.protocol (send) -> wire.connection (frame) -> aio.endpoint (one write per read)

Each package imports from those on its left only: errors, closing, limits <- wire <- aio <-
server and client <- cli, examples.
"""

from fastws.client import ClientConnection, connect
from fastws.closing import CloseCode
from fastws.errors import ClientDisconnected, Disconnected, HandshakeError, ProtocolError
from fastws.limits import Limits

__all__ = [
    "ClientConnection",
    "ClientDisconnected",
    "CloseCode",
    "Disconnected",
    "HandshakeError",
    "Limits",
    "ProtocolError",
    "connect",
]
