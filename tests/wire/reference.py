"""Frames, masks, UTF-8 and deflate the slow and plain way: what the compiled code is held to."""

import zlib
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10

# The key of the examples in RFC 6455 section 5.7.
KEY = b"\x37\xfa\x21\x3d"
# RFC 7692 section 7.2.1: what a sender cuts off the end of a message.
TAIL = b"\x00\x00\xff\xff"


def mask(data: bytes, key: bytes) -> bytes:
    """RFC 6455 section 5.3, one byte at a time."""
    return bytes(byte ^ turned for byte, turned in zip(data, cycle(key), strict=False))


def is_utf8(data: bytes) -> bool:
    """Tells whether data is the UTF-8 of some text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def begins_utf8(data: bytes) -> bool:
    """Tells whether data can go on to be the UTF-8 of some text: one of these would end it."""
    return any(is_utf8(data + byte * n) for byte in (b"\x80", b"\xbf") for n in range(4))


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """Builds a frame (RFC 6455 section 5.2), a malformed one where asked to.

    Args:
        opcode: any of 0 to 15.
        payload: what is masked and appended.
        fin: whether it is the last of its message.
        rsv: any of RSV1, RSV2 and RSV3.
        key: the masking key; None for a frame that is not masked.
        length: what the header says, if that is not the payload's.
        form: bytes of the extended length: 0, 2 or 8; None for the minimal one.
    """
    if length is None:
        length = len(payload)
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    first = (FIN if fin else 0) | rsv | opcode
    second = (0x80 if key is not None else 0) | {0: length, 2: 126, 8: 127}[form]
    extended = length.to_bytes(form, "big") if form else b""
    masked = payload if key is None else key + mask(payload, key)
    return bytes((first, second)) + extended + masked


def close_frame(code: int | None, reason: bytes = b"", *, key: bytes | None = KEY) -> bytes:
    """Builds a close frame (section 5.5.1), without a payload for None."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, key=key)


class Frame(NamedTuple):
    """A frame as it was on the wire, its payload unmasked."""

    fin: bool
    rsv: int
    opcode: int
    key: bytes | None
    payload: bytes


class Header(NamedTuple):
    """A frame's header; `size` counts its own bytes."""

    first: int
    masked: bool
    length: int
    minimal: bool
    size: int


def header(data: bytes, at: int = 0) -> Header | None:
    """Reads the header that begins at a place, or gives None if not all of it is there.

    The two faults of a length count before the masking key is there.
    """
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    length, size = second & 0x7F, 2
    minimal = True
    if length >= 126:
        size += 2 if length == 126 else 8
        if len(data) < at + size:
            return None
        minimal = (126 if size == 4 else 65536) <= (
            length := int.from_bytes(data[at + 2 : at + size], "big")
        )
    masked = second >= 0x80
    if masked and minimal and length < 1 << 63:
        size += 4
        if len(data) < at + size:
            return None
    return Header(first, masked, length, minimal, size)


def frames(data: bytes) -> Iterator[Frame]:
    """Takes well-formed frames apart; an unfinished one, or bytes behind, are an error."""
    at = 0
    while at < len(data):
        head = header(data, at)
        assert head is not None
        assert head.minimal
        start, at = at + head.size, at + head.size + head.length
        assert at <= len(data), "an unfinished frame"
        key = data[start - 4 : start] if head.masked else None
        payload = data[start:at]
        yield Frame(
            head.first >= FIN,
            head.first & (RSV1 | RSV2 | RSV3),
            head.first & 0x0F,
            key,
            payload if key is None else mask(payload, key),
        )


class Deflater:
    """The sending half of permessage-deflate (RFC 7692 section 7.2.1)."""

    def __init__(self, *, takeover: bool, bits: int = 15) -> None:
        self.takeover, self.bits = takeover, bits
        self._stream = zlib.compressobj(wbits=-bits)

    def __call__(self, data: bytes) -> bytes:
        if not self.takeover:
            self._stream = zlib.compressobj(wbits=-self.bits)
        if not data:
            return b"\x00"  # 7.2.3.6; zlib flushes nothing for the second one in a row
        return (self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Inflater:
    """The receiving half (section 7.2.2)."""

    def __init__(self, *, takeover: bool, bits: int = 15) -> None:
        self.takeover, self.bits = takeover, bits
        self._stream = zlib.decompressobj(wbits=-bits)

    def __call__(self, payload: bytes) -> bytes:
        if not self.takeover:
            self._stream = zlib.decompressobj(wbits=-self.bits)
        return self._stream.decompress(payload + TAIL)
