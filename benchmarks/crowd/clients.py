"""The server of a crowd, and those who come to it one by one."""

import json
import socket
from typing import Any
from urllib.request import urlopen

from benchmarks.servers import OURS, Peer, Server, asgi
from fastws.testing.frames import close
from fastws.testing.peer import upgrade

PATIENCE = 30.0


def serving(*options: str) -> Peer:
    """The app of the crowd on our server."""
    return asgi("fastws", "crowd.app:app", *OURS, *options)


def numbers(server: Server) -> dict[str, Any]:
    """What the app tells of itself."""
    with urlopen(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE) as response:
        found: dict[str, Any] = json.load(response)
    return found


def join(server: Server, receive_buffer: int | None = None) -> socket.socket:
    """Opens a connection to the room."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(upgrade("/ws"))
    head = b""
    # Byte by byte: what follows may be a message.
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"not an upgrade: {head!r}")
    return sock


def drain(sock: socket.socket, reason: bytes = b"") -> None:
    """Receives until the server ends TCP, in whatever way, and closes.

    Args:
        reason: what the server's close frame ends with; it is answered.
    """
    tail = b""
    try:
        while data := sock.recv(65536):
            tail = (tail + data)[-100:]
            if reason and tail.endswith(reason):
                sock.sendall(close(1000))
    except ConnectionError:
        pass
    sock.close()
