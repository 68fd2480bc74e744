"""An asyncio client on the same codec.

- `connecting`: `connect`: the address, TCP and TLS, the timeout
- `connection`: ClientConnection: what `connect` gives: send, receive, close
"""

from fastws.client.connecting import connect
from fastws.client.connection import ClientConnection

__all__ = ["ClientConnection", "connect"]
