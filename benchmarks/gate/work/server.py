"""From a read to a write through the server."""

from typing import Any

from benchmarks.gate.stage import Server
from benchmarks.gate.work import READS, Run
from benchmarks.peers import echo, typed_fastws
from fastws.testing.frames import text

ECHO = text("x" * 64)
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"


def handshake() -> Run:
    """Connect a client, and let the one before close."""
    server = Server(echo.app)
    clients = server.connected(1)

    def step() -> None:
        server.leave(clients.pop())
        clients.append(server.connect())

    return server.turns(step)


def reads(app: Any, data: bytes) -> Run:
    """Let clients send something, each in a read, all in one turn of the loop."""
    server = Server(app)
    clients = server.connected(READS)

    def step() -> None:
        for client in clients:
            client.read(data)

    return server.turns(step)


def echo_one() -> Run:
    """Echo 64 bytes, one message in a read."""
    return reads(echo.app, ECHO)


def echo_many() -> Run:
    """Echo 64 bytes, 16 messages in a read."""
    return reads(echo.app, ECHO * 16)


def typed() -> Run:
    """Answer a typed message through an App, one in a read."""
    return reads(typed_fastws.app, text('{"type": "Chat", "content": "hello there"}'))


def http() -> Run:
    """Answer plain GETs on connections that are kept alive."""
    server = Server(echo.app)
    clients = [server.connect(GET) for _ in range(READS)]
    server.turns(lambda: None)(2)
    if not all(client.written.endswith(echo.BODY) for client in clients):
        raise RuntimeError("not all requests have been answered")

    def step() -> None:
        for client in clients:
            client.read(GET)

    return server.turns(step)
