"""L1: bytes to messages and back, without any I/O, clock or event loop.

- `frames`: the header, the mask and UTF-8 (RFC 6455 section 5)
- `deflate`: permessage-deflate (RFC 7692)
- `handshake`: a request head to an upgrade request, or to the refusal (RFC 6455 section 4)
- `opening`: the same from the other end: a URI to a request, a response to what was agreed on
- `reader`: frames to messages: reassembly, UTF-8, limits; `inbox`: where they wait
- `connection`: control frames, the closing handshake, sending; both roles
- `bounds`: limits, as C numbers
- `prepared`: a message encoded once for many connections
"""

from fastws.wire.connection import Connection, Role, State
from fastws.wire.deflate import Compression, Deflate, Params
from fastws.wire.frames import Opcode
from fastws.wire.prepared import PreparedMessage

__all__ = [
    "Compression",
    "Connection",
    "Deflate",
    "Opcode",
    "Params",
    "PreparedMessage",
    "Role",
    "State",
]
