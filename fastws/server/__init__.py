"""L2: a TCP connection to ASGI events, as uvicorn's protocol classes.

- `http`: HttpProtocol, for ``--http``: the straight way to an upgrade
- `requests`: plain HTTP, with deadlines and limits on the request head
- `protocol`: WebSocketProtocol, for ``--ws``: the way in, the answer, the ends
- `exchange`: messages between an app and its client, as events and past them
- `drain`: uvicorn's server, with an end that is told in time
- `listeners`: its sockets
- `systemd`: what the service manager gives, and wants to hear
- `config`: uvicorn's configuration with our defaults and limits
- `scope`, `addresses`, `callables`: what an app is called with
"""

from fastws.server.config import Config
from fastws.server.http import HttpProtocol
from fastws.server.protocol import WebSocketProtocol

__all__ = ["Config", "HttpProtocol", "WebSocketProtocol"]
