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

Public names are loaded on first use (PEP 562): a server loads no app, and a client no server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# The build reads the version from this line.
__version__ = "0.2.0.dev0"

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

_HOMES = {
    "fastws.app": ("App", "Error", "Message", "WebSocket"),
    "fastws.client": ("ClientConnection", "connect"),
    "fastws.closing": ("CloseCode",),
    "fastws.errors": (
        "BrokerUnavailable",
        "ClientDisconnected",
        "Disconnected",
        "HandshakeError",
        "ProtocolError",
    ),
    "fastws.limits": ("Limits",),
    "fastws.rooms": (
        "Gap",
        "History",
        "Joined",
        "Left",
        "Present",
        "Receipt",
        "Resumed",
        "RoomPosition",
    ),
}

if not TYPE_CHECKING:  # with a __getattr__, type checkers would believe any misspelt name

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(home), name)
                return value
        raise AttributeError(f"module 'fastws' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
