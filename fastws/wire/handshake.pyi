import re
from collections.abc import Iterable

from fastws.errors import HandshakeError

TOKEN: re.Pattern[bytes]

class UpgradeRequest:
    """A valid request to open a WebSocket.

    Attributes:
        target: path and query as they came, without scheme and host.
        headers: pairs of a lower-case name and a value, in their order.
        key: the value of Sec-WebSocket-Key.
        subprotocols: what the client offers, in its order of preference.
        extensions: all Sec-WebSocket-Extensions headers, joined by commas.
    """

    target: bytes
    headers: list[tuple[bytes, bytes]]
    key: bytes
    subprotocols: list[str]
    extensions: bytes

def is_bodiless(data: bytes, max_size: int, max_count: int) -> bool:
    """Tells whether the data are exactly one head of plain HTTP that nothing can follow.

    That is a GET or HEAD request that announces neither a body nor a change of protocol, within
    the limits, in lines that end as they should. Nearly every request is; the others need a
    closer look, and may get it without being wrong.

    Args:
        data: bytes that begin with a request line.
        max_size: bytes of the whole head.
        max_count: header lines in it.
    """

def find_head(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Looks for the end of a request head, and at what kind of request it is.

    Returns:
        The size of the head if it asks for an upgrade to WebSocket, its negative if it is
        plain HTTP, 0 if the head is not complete.
    """

def parse_request(head: bytes, max_headers: int) -> UpgradeRequest:
    """Reads a request head that asks for an upgrade (RFC 6455 section 4.2.1).

    Raises:
        HandshakeError: the request is not one to be answered with 101.
    """

def parse_headers(rest: bytes, max_headers: int) -> list[tuple[bytes, bytes]]:
    """Reads the header fields of a head, down to the empty line that ends it.

    Raises:
        HandshakeError: there are too many, or they do not follow RFC 9112 section 5.
    """

def append_headers(parts: list[bytes], headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Adds header fields and the empty line that ends them.

    Raises:
        ValueError: a header's name is not a token, or its value has a control character.
    """

def accept_key(key: bytes) -> bytes:
    """Gives the Sec-WebSocket-Accept value that answers a key (RFC 6455 section 4.2.2)."""

def accept_response(key: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Builds the 101 response (RFC 6455 section 4.2.2).

    Raises:
        ValueError: a header's name is not a token, or its value has a control character.
    """

def http_response(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Builds the head of a refusal; its headers always close the connection.

    Raises:
        ValueError: a header's name is not a token, or its value has a control character.
    """

def refusal(error: HandshakeError, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Builds the whole response for a `HandshakeError`."""
