"""Requests to open a WebSocket, whole and with parts of them changed."""

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
LINE = b"GET /chat HTTP/1.1"
# RFC 6455 section 1.3, but for the origin and the subprotocols.
FIELDS = (
    b"Host: example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)


def request(fields: bytes = FIELDS, line: bytes = LINE) -> bytes:
    """Builds a request head."""
    return line + b"\r\n" + fields + b"\r\n"


def without_field(name: str) -> bytes:
    """A request that lacks one header."""
    lines = FIELDS.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(name.encode() + b":")]
    return request(b"".join(kept))


def with_field(name: str, value: str, *, without: str = "") -> bytes:
    """A request with one header more, in the place of another or of its own name."""
    head = without_field(without or name)
    return head[:-2] + f"{name}: {value}\r\n".encode() + b"\r\n"
