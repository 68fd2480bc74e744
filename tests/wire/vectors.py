"""Byte streams that mean something: each rule kept, and each rule broken, by name.

Each function takes the masking key: None gives what a server sends.
"""

import zlib
from functools import partial

from tests.wire.reference import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TAIL,
    TEXT,
    Deflater,
    close_frame,
    frame,
)

Streams = dict[str, bytes]

EURO = "€".encode()
HELLO = Deflater(takeover=False)(b"Hello")


def deflated(data: bytes, flush: int, level: int = 6) -> bytes:
    """Compresses data with another way to end it than RFC 7692 section 7.2.1 prefers."""
    stream = zlib.compressobj(level, wbits=-15)
    return stream.compress(data) + stream.flush(flush)


FINAL = deflated(b"Hello", zlib.Z_FINISH)
# A stored block, then the empty block, final and without its tail.
FINAL_TAIL = deflated(b"Hello", zlib.Z_SYNC_FLUSH, level=0)[:-5] + b"\x01"


def plain(key: bytes | None = KEY) -> Streams:
    """What RFC 6455 allows."""
    f, closing = partial(frame, key=key), partial(close_frame, key=key)
    begin, go_on = partial(f, TEXT, fin=False), partial(f, CONTINUATION, fin=False)
    return {
        "text": f(TEXT, b"Hello"),
        "empty text": f(TEXT),
        "4-byte characters": f(TEXT, "🎉é€𐀀".encode()),
        "binary": f(BINARY, bytes(range(256))),
        "126 bytes": f(BINARY, bytes(126)),
        "65536 bytes": f(BINARY, bytes(65536)),
        "two messages": f(TEXT, b"one") + f(BINARY, b"two"),
        "fragments": begin(b"Hel") + f(CONTINUATION, b"lo") + f(TEXT, b"!"),
        "character in three fragments": begin(EURO[:1]) + go_on(EURO[1:2]) + f(0, EURO[2:]),
        "empty fragments": begin() + go_on() + f(CONTINUATION),
        "ping": f(PING, b"Hello"),
        "empty ping": f(PING),
        "ping of 125": f(PING, bytes(125)),
        "unsolicited pong": f(PONG, b"x"),
        "control inside a message": begin(b"a") + f(PING, b"1") + go_on() + f(PONG) + f(0, b"b"),
        "key 0": f(TEXT, b"Hello", key=None if key is None else bytes(4)),
        "close": closing(1000, b"bye"),
        "empty close": closing(None),
        "close 1014": closing(1014),
        "close 4999": closing(4999, EURO),
        "close inside a message": begin(b"a") + closing(1001),
        "frames after close": closing(1000) + f(TEXT, b"x") + f(PING),
        "garbage after close": closing(1000) + b"\xff" * 20,
    }


def broken(key: bytes | None = KEY) -> Streams:
    """What RFC 6455 forbids, or the default limits."""
    f, closing = partial(frame, key=key), partial(close_frame, key=key)
    begin, wrong = partial(f, TEXT, fin=False), partial(frame, key=KEY if key is None else None)
    return {
        "masking of text": wrong(TEXT, b"Hello"),
        "masking of an empty ping": wrong(PING),
        "masking of a continuation": begin(b"a") + wrong(CONTINUATION),
        "RSV1": f(TEXT, b"Hello", rsv=RSV1),
        "RSV2": f(TEXT, b"Hello", rsv=RSV2),
        "RSV3 on a ping": f(PING, rsv=RSV3),
        "opcode 3": f(3, b"x"),
        "opcode 15": f(15),
        "continuation of nothing": f(CONTINUATION, b"x"),
        "message inside another": begin(b"a") + f(BINARY, b"b"),
        "ping of 126": f(PING, bytes(126)),
        "fragmented ping": f(PING, fin=False),
        "length 5 in 16 bits": f(TEXT, b"Hello", form=2),
        "length 5 in 64 bits": f(TEXT, b"Hello", form=8),
        "length 65535 in 64 bits": f(BINARY, bytes(65535), form=8),
        "length 2**63": f(BINARY, length=1 << 63),
        "length 2**63-1": f(BINARY, length=(1 << 63) - 1),
        "length 2**32 in a message": begin(b"a") + f(CONTINUATION, length=1 << 32),
        "bad UTF-8": f(TEXT, b"caf\xe9!"),
        "end inside a character": f(TEXT, EURO[:2]),
        "bad UTF-8 in an unfinished frame": f(TEXT, b"\xed\xa0\x80", length=100),
        "ping, then bad UTF-8": begin(b"a") + f(PING, b"p") + f(CONTINUATION, b"\xff"),
        "bad UTF-8, then opcode 11": begin(b"\xc0") + f(11),
        "messages before a fault": f(TEXT, b"a") + f(PING, b"b") + f(TEXT, b"\xff"),
        "close of one byte": f(CLOSE, b"\x03"),
        "close 1005": closing(1005),
        "close 999": closing(999),
        "close with bad UTF-8": closing(1000, b"\xff"),
    }


def deflate(key: bytes | None = KEY) -> Streams:
    """What needs permessage-deflate; no message relies on the one before."""
    f = partial(frame, key=key)
    text, begin = partial(f, TEXT, rsv=RSV1), partial(f, TEXT, rsv=RSV1, fin=False)
    rest = f(CONTINUATION, HELLO[3:])
    return {
        "compressed": text(HELLO),
        "compressed, in fragments": begin(HELLO[:3]) + rest,
        "compressed, around a ping": begin(HELLO[:3]) + f(PING, b"p") + rest,
        "compressed and not": f(TEXT, b"a") + text(HELLO) + f(TEXT, b"b"),
        "compressed and empty, twice": text(b"\x00") * 2,
        "compressed without a byte": text() + text(HELLO),
        "BFINAL": text(FINAL + b"\x00") + text(HELLO),
        "BFINAL without the empty block": text(FINAL) * 2,
        "BFINAL in the empty block": text(FINAL_TAIL) + text(HELLO),
        "BFINAL and garbage": text(FINAL + b"garbage"),
        "corrupt": text(b"\xff\xff\xff"),
        "bad distance": text(b"\x02\x01\x00"),
        "truncated": text(HELLO[:3]),
        "tail left on": text(HELLO + TAIL),
        "compressed bad UTF-8": text(Deflater(takeover=False)(b"\xff\xff")),
        "RSV1 on a continuation": begin(HELLO[:3]) + f(CONTINUATION, HELLO[3:], rsv=RSV1),
        "RSV1 on a ping": f(PING, rsv=RSV1),
        "bomb": text(Deflater(takeover=False)(bytes(2 << 20))),
    }
