"""Where fastws differs from `websockets` or `wsproto`, row by row, with an example of each.

The others may come round to what fastws does: then they agree with it, which is as well.
"""

from typing import NamedTuple

import pytest

from fastws.limits import Limits
from tests.wire.drive import SHARED, TAKEOVER, connect, outcome
from tests.wire.model import Outcome, Window, expected
from tests.wire.oracles import MAX_SIZE, by_websockets, by_wsproto
from tests.wire.reference import (
    BINARY,
    CONTINUATION,
    PING,
    RSV1,
    RSV2,
    TAIL,
    TEXT,
    Deflater,
    close_frame,
    frame,
)
from tests.wire.vectors import FINAL, HELLO

A = (TEXT, b"Hello")
PINGED = (PING, b"p")
HALF = frame(TEXT, b"a", fin=False)


class Row(NamedTuple):
    """What becomes of some bytes; None is for one that does as fastws does."""

    data: bytes
    fastws: Outcome
    websockets: Outcome | None = None
    wsproto: Outcome | None = None
    takeover: bool = False


def said(code: int | None, *events: tuple[int, bytes]) -> Outcome:
    return Outcome(list(events), code)


def text(payload: bytes) -> bytes:
    return frame(TEXT, payload, rsv=RSV1)


LONG = Deflater(takeover=False)(bytes(2 * MAX_SIZE))

ROWS = {
    "non-minimal length": Row(frame(TEXT, b"Hello", form=2), said(1002), said(None, A)),
    "highest bit of a length": Row(frame(BINARY, length=1 << 63), said(1002), said(1009)),
    "frame over the limit": Row(
        frame(BINARY, bytes(MAX_SIZE + 1)),
        said(1009),
        wsproto=said(None, (BINARY, bytes(MAX_SIZE + 1))),
    ),
    "bad UTF-8 in an unfinished text": Row(
        frame(TEXT, b"\xff", fin=False), said(1007), said(None), said(1007)
    ),
    "bad UTF-8, then a reserved opcode": Row(
        frame(TEXT, b"\xff", fin=False) + frame(11), said(1007), said(1002)
    ),
    # It could only be a surrogate; CPython's decoder wants to see its last byte.
    "first two bytes of a surrogate": Row(
        frame(TEXT, b"\xed\xa0", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"\x80"),
        said(1007),
        said(1007, PINGED),
        said(1007, PINGED),
    ),
    "ping before a bad continuation": Row(
        HALF + frame(PING, b"p") + frame(CONTINUATION, b"\xff"), said(1007, PINGED)
    ),
    "close 1014": Row(close_frame(1014), said(1014), wsproto=said(1002)),
    "close inside a message": Row(HALF + close_frame(1000), said(1000), said(1002)),
    "two faults in a close frame": Row(close_frame(999, b"\xff"), said(1002), said(1007)),
    "two faults in a header": Row(
        frame(TEXT, rsv=RSV2, length=MAX_SIZE + 1), said(1002), said(1009)
    ),
    "corrupt deflate": Row(text(b"\xff\xff"), said(1007), said(1002)),
    "bad distance": Row(text(b"\x02\x01\x00"), said(1007), said(1002)),
    "corrupt deflate, unfinished": Row(
        frame(TEXT, b"\xff\xff", rsv=RSV1, fin=False), said(None), said(1002), said(1007)
    ),
    "truncated deflate": Row(
        text(HELLO[:3]), said(1007), said(None, (TEXT, b"Heh")), said(None, (TEXT, b"Heh"))
    ),
    "message after BFINAL": Row(
        text(FINAL + b"\x00") + text(HELLO),
        said(None, A, A),
        said(None, A, (TEXT, b"")),
        said(1007, A),
        takeover=True,
    ),
    "BFINAL and garbage": Row(text(FINAL + b"garbage"), said(1007), said(None, A), said(None, A)),
    "tail left on": Row(
        text(HELLO + TAIL) + text(HELLO), said(1007), said(1002, A), said(1007, A), takeover=True
    ),
    "message after nothing as compressed": Row(
        text(b"") + text(HELLO),
        said(None, (TEXT, b""), A),
        said(1002, (TEXT, b"")),
        said(1007, (TEXT, b"")),
        takeover=True,
    ),
    "ping inside compressed fragments": Row(
        frame(TEXT, HELLO[:3], rsv=RSV1, fin=False)
        + frame(PING, b"p")
        + frame(CONTINUATION, HELLO[3:]),
        said(None, PINGED, A),
        wsproto=said(1007, PINGED),
    ),
    "bomb over the limit": Row(
        text(LONG), said(1009), wsproto=said(None, (TEXT, bytes(2 * MAX_SIZE)))
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_known_difference(row: Row) -> None:
    params = TAKEOVER if row.takeover else SHARED
    limits = Limits(max_message_size=MAX_SIZE, max_frame_size=MAX_SIZE)
    assert outcome(connect(params=params, limits=limits), row.data) == row.fastws
    window = Window(takeover=row.takeover)
    assert expected(row.data, limits=limits, window=window).outcome == row.fastws
    for by, differs in ((by_websockets, row.websockets), (by_wsproto, row.wsproto)):
        assert by(row.data, takeover=row.takeover) in (row.fastws, differs)
