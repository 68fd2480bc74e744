"""The codec alone."""

import json

from benchmarks.gate.work import Run, repeat
from fastws.limits import Limits
from fastws.testing.frames import BINARY, CONTINUATION, TEXT, frame, text
from fastws.wire import Compression, Connection, Deflate, Params, Role

# It compresses as chats do: words that come again, and numbers that do not.
JSON = json.dumps([{"type": "Chat", "room": "lobby", "id": i * i} for i in range(20)])


def reading(data: bytes, compression: Compression | None = None) -> Run:
    """Read whole messages, over and over again."""
    connection = Connection(Role.SERVER, Limits(), compression)

    def step() -> None:
        connection.receive_data(data)
        while connection.next_event() is not None:
            pass

    connection.receive_data(data)
    if connection.next_event() is None:
        raise RuntimeError("the data had no message")
    return repeat(step)


def sending(payload: str, times: int, compression: Compression | None = None) -> Run:
    """Make frames of so many messages, over and over again."""
    connection = Connection(Role.SERVER, Limits(), compression)

    def step() -> None:
        for _ in range(times):
            connection.send_text(payload)
        connection.data_to_send()

    return repeat(step)


def deflate(role: Role) -> Compression:
    """Return compression as it is agreed on by default: each message for itself."""
    return Compression(Params(False, False, 15, 15), Deflate(), role is Role.SERVER)


def small_frames() -> Run:
    """Read sixteen messages of 64 bytes at once."""
    return reading(text("x" * 64) * 16)


def large_frame() -> Run:
    """Read a message of 16 KiB."""
    return reading(frame(BINARY, bytes(range(256)) * 64))


def fragments() -> Run:
    """Read a message in 32 fragments."""
    middle = frame(CONTINUATION, b"x" * 32, fin=False)
    return reading(frame(TEXT, b"x" * 32, fin=False) + middle * 30 + frame(CONTINUATION, b"x" * 32))


def serialising() -> Run:
    """Send sixteen messages of 64 bytes."""
    return sending("x" * 64, 16)


def deflating() -> Run:
    """Compress some JSON, and send it."""
    return sending(JSON, 1, deflate(Role.SERVER))


def inflating() -> Run:
    """Read some compressed JSON."""
    client = Connection(Role.CLIENT, Limits(), deflate(Role.CLIENT))
    client.send_text(JSON)
    return reading(client.data_to_send(), deflate(Role.SERVER))
