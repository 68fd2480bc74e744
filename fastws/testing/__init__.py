"""The test kit: for apps on any ASGI server, with any test runner.

- `client`: `connect`, a WebSocket client that calls an app without a socket
- `http`, `lifespan`: `get`, its pages; `lifespan`, its startup and shutdown
- `clock`: `Clock`, which stops the time of the event loop, and moves it
- `server`: `serve`, a real server in the event loop of the test
- `peer`, `frames`: `Peer`, a client on a socket that may do what no client should
- `plugin`: fixtures for pytest, which nothing else here needs
- `call`, `websocket`, `scopes`, `waiting`, `stack`: what they are made of

docs/testing.md shows how they go together.
"""

from fastws.testing.client import Client, connect
from fastws.testing.clock import Clock
from fastws.testing.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame
from fastws.testing.http import Response, get
from fastws.testing.lifespan import lifespan
from fastws.testing.peer import Peer
from fastws.testing.server import Server, serve

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Client",
    "Clock",
    "Frame",
    "Peer",
    "Response",
    "Server",
    "connect",
    "get",
    "lifespan",
    "serve",
]
