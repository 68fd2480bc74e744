from typing import NamedTuple

import msgspec

class Deflate(msgspec.Struct, frozen=True, kw_only=True):
    """How to compress, and what to agree to."""

    context_takeover: bool = False
    window_bits: int = 15
    level: int = 1
    memory_level: int = 8
    threshold: int = 256

class Params(NamedTuple):
    """What the two sides agreed on, from each side's point of view as sender (RFC 7692 7.1)."""

    server_takeover: bool
    client_takeover: bool
    server_bits: int
    client_bits: int

class Compression:
    """permessage-deflate as one connection agreed on it."""

    threshold: int
    params: Params
    def __init__(self, params: Params, options: Deflate, is_server: bool) -> None: ...

def parse_extensions(value: bytes) -> list[tuple[bytes, list[tuple[bytes, bytes | None]]]]:
    """Parses a Sec-WebSocket-Extensions header (RFC 6455 section 9.1) in linear time.

    Raises:
        ValueError: the header does not follow the grammar.
    """

def negotiate(header: bytes, options: Deflate) -> tuple[Params, bytes] | None:
    """Chooses among a client's offers (RFC 7692 section 5).

    Returns:
        The agreed `Params` and the value of the response header, or None if no offer will do.
    """

def offer(options: Deflate) -> bytes:
    """Gives the value of the Sec-WebSocket-Extensions header that a client sends."""

def accepted(header: bytes, options: Deflate) -> Params:
    """Reads a server's answer to `offer` (RFC 7692 section 5.1).

    Raises:
        HandshakeError: the server answered with something that was not offered.
    """
