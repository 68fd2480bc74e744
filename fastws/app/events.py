"""Everything that a client does, one type each: for `WebSocket.events`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastws.app.portable import BINARY, PING, PONG, TEXT


class Text(NamedTuple):
    """A text message."""

    text: str


class Binary(NamedTuple):
    """A binary message."""

    data: bytes


class Ping(NamedTuple):
    """A ping; the server has answered it."""

    data: bytes


class Pong(NamedTuple):
    """A pong; to our heartbeat, or to nothing."""

    data: bytes


class Close(NamedTuple):
    """The end: 1005 if the client gave no code, 1006 if it vanished."""

    code: int
    reason: str


SocketEvent = Text | Binary | Ping | Pong | Close

EVENTS: dict[int, Callable[[Any], SocketEvent]] = {
    TEXT: lambda payload: Text(payload.decode() if isinstance(payload, bytes) else payload),
    BINARY: Binary,
    PING: Ping,
    PONG: Pong,
}
