"""L4: the application layer, hand-written ASGI that runs on any server.

- `app`: App: routes, pages, lifespan
- `websocket`: WebSocket: the request, who it is, rooms, the end; `handshake`: the answer;
  `exchange`: messages both ways; `answer`: what may be sent to a client
- `messages`, `faults`: typed structs and their formats; what is wrong with one
- `events`: all that a client does; `bucket`: how fast
- `query`, `headers`, `origin`, `admission`: what is looked at before the accept
- `auth`, `bearer`, `keys`: JSON Web Tokens
- `http`, `routes`: pages, paths
- `metrics`: what has happened; `counters` count it, `prometheus` names the numbers
- `portable`: what our server's extension offers, over plain ASGI
"""

from fastws.app.app import App
from fastws.app.events import Binary, Close, Ping, Pong, SocketEvent, Text
from fastws.app.http import Request, Response
from fastws.app.messages import BadMessage, Error, JsonCodec, Message, MessagePackCodec
from fastws.app.origin import OriginCheck
from fastws.app.websocket import WebSocket

__all__ = [
    "App",
    "BadMessage",
    "Binary",
    "Close",
    "Error",
    "JsonCodec",
    "Message",
    "MessagePackCodec",
    "OriginCheck",
    "Ping",
    "Pong",
    "Request",
    "Response",
    "SocketEvent",
    "Text",
    "WebSocket",
]
