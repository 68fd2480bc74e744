"""L2: a TCP connection to ASGI events, as uvicorn's protocol classes.

- `http`: HttpProtocol, for ``--http``: deadlines and limits on the request head, the upgrade
- `protocol`: WebSocketProtocol, for ``--ws``: what an app sends and receives
- `config`: uvicorn's configuration with our defaults and limits
- `scope`: the ASGI scope
"""

from fastws.server.config import Config
from fastws.server.http import HttpProtocol
from fastws.server.protocol import WebSocketProtocol

__all__ = ["Config", "HttpProtocol", "WebSocketProtocol"]
