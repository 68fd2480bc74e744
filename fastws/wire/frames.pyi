from enum import IntEnum

class Opcode(IntEnum):
    """The opcodes of RFC 6455 section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10

class Output: ...

def apply_mask(data: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """XORs data with a masking key (RFC 6455 section 5.3); masks and unmasks alike.

    Args:
        data: any contiguous buffer of bytes.
        key: four bytes.

    Raises:
        ValueError: the key does not have four bytes.
    """

def is_utf8(*parts: bytes | bytearray | memoryview) -> bool:
    """Tells whether the parts, one after the other, are the UTF-8 of some text (RFC 3629)."""
