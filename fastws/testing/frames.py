"""WebSocket frames, built by hand: as RFC 6455 wants them, or not."""

import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

MASK = b"\x37\xfa\x21\x3d"  # the masking key of RFC 6455 section 5.7


class Frame(NamedTuple):
    """A frame that was received."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    def closing(self) -> tuple[int, str]:
        """Gives the code and the reason of a close frame; 1005 if it has none."""
        if not self.payload:
            return 1005, ""
        return int.from_bytes(self.payload[:2], "big"), self.payload[2:].decode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
) -> bytes:
    """Builds a frame (RFC 6455 section 5.2).

        frame(TEXT, b"hel", fin=False) + frame(CONTINUATION, b"lo")

    Args:
        opcode: any number up to 15.
        payload: what it carries, unmasked; a control frame may be too large, too.
        fin: whether it is the last of its message.
        rsv: the three reserved bits, 4 being RSV1: a compressed message.
        mask: the masking key of a client's frame; None for an unmasked one, as servers send.
    """
    first, size = fin << 7 | rsv << 4 | opcode, len(payload)
    bit = 0 if mask is None else 0x80
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + payload if mask is None else head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Masks or unmasks a payload (RFC 6455 section 5.3)."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def text(message: str) -> bytes:
    """Builds a client's text message."""
    return frame(TEXT, message.encode())


def close(code: int | None = None, reason: str = "") -> bytes:
    """Builds a client's close frame, by default one without a code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())
