"""fastws: WebSockets for ASGI apps, on a compiled codec, and a minimal layer for real-time apps.

The path of a message, from the socket to the app and back:

    socket -> server.http (request head, upgrade) -> aio.endpoint (a read into the loop's buffer)
      -> wire.frames (header, unmask) -> wire.connection (reassemble, inflate, UTF-8, limits)
      -> server.exchange (the waiting task is resumed, once per read) -> ASGI app
           -> app.exchange (typed messages) -> handler -> rooms (who gets it)
      -> server.exchange (send), aio.fanout (to many) -> wire.connection (frame)
      -> aio.writer (one write per read, and per turn of the loop)

Each package imports from those on its left only: errors, closing, limits <- wire <- aio <-
server and client; errors, closing, limits <- rooms <- app; `cli` from both. The two halves meet in
``scope["extensions"]["fastws"]``, so either does without the other.
"""

from fastws.app import App, Error, Message, WebSocket
from fastws.client import ClientConnection, connect
from fastws.closing import CloseCode
from fastws.errors import (
    BrokerUnavailable,
    ClientDisconnected,
    Disconnected,
    HandshakeError,
    ProtocolError,
)
from fastws.limits import Limits
from fastws.rooms import Gap, History, Joined, Left, Present, Receipt, Resumed, RoomPosition

__all__ = [
    "App",
    "BrokerUnavailable",
    "ClientConnection",
    "ClientDisconnected",
    "CloseCode",
    "Disconnected",
    "Error",
    "Gap",
    "HandshakeError",
    "History",
    "Joined",
    "Left",
    "Limits",
    "Message",
    "Present",
    "ProtocolError",
    "Receipt",
    "Resumed",
    "RoomPosition",
    "WebSocket",
    "connect",
]
