"""Hypothesis strategies: streams of frames, most of them well-formed, and then damaged."""

import os
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.wire.oracles import MAX_SIZE
from tests.wire.reference import (
    BINARY,
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
    header,
)
from tests.wire.vectors import FINAL

# Many more examples where there is time: FASTWS_EXAMPLES=100000 pytest tests/wire
EXAMPLES = int(os.environ.get("FASTWS_EXAMPLES", "100"))
PROFILE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="FASTWS_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXTS = st.text(st.sampled_from("aé€𐀀\0\x7f"), max_size=40).map(str.encode)
WRONG_TEXTS = st.builds(
    lambda text, wrong: text + wrong,
    TEXTS,
    st.sampled_from(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\x80"]
    ),
)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda n: bytes(range(256)) * (n // 256 + 1), st.sampled_from([126, 300, 65536])),
)
# Close codes on both sides of each border.
CODES = [0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000]


class Stream:
    """Draws one stream; `takeover` is None for a connection without compression."""

    def __init__(self, draw: st.DrawFn, *, server: bool, takeover: bool | None) -> None:
        self.draw = draw
        self.server = server
        self.deflate = None if takeover is None else Deflater(takeover=takeover)

    def key(self) -> bytes | None:
        if not self.server:
            return None
        return self.draw(st.sampled_from([KEY, bytes(4), b"\xff\x00\x80\x7f"]))

    def control(self) -> bytes:
        opcode = self.draw(st.sampled_from([PING, PONG]))
        return frame(opcode, self.draw(st.binary(max_size=10)), key=self.key())

    def message(self) -> bytes:
        opcode = self.draw(st.sampled_from([TEXT, BINARY]))
        payload = self.draw(PAYLOADS if opcode == BINARY else TEXTS)
        if opcode == TEXT and self.draw(st.integers(0, 19)) == 0:
            payload = self.draw(WRONG_TEXTS)
        rsv = 0
        if self.deflate is not None and self.draw(st.booleans()):
            payload, rsv = self.deflate(payload), RSV1
            if self.draw(st.integers(0, 9)) == 0:
                odd = [b"", FINAL, FINAL + b"\x00", FINAL + b"x", payload + TAIL, payload[:-1]]
                payload = self.draw(st.sampled_from([*odd, b"\xff\xff"]))
        if self.draw(st.booleans()):
            return frame(opcode, payload, rsv=rsv, key=self.key())
        return self.fragments(opcode, payload, rsv)

    def fragments(self, opcode: int, payload: bytes, rsv: int) -> bytes:
        places = st.lists(st.integers(0, len(payload)), max_size=4).map(sorted)
        cuts = [0, *self.draw(places), len(payload)]
        data = b""
        for number, (start, end) in enumerate(pairwise(cuts)):
            data += frame(
                CONTINUATION if number else opcode,
                payload[start:end],
                fin=number == len(cuts) - 2,
                rsv=0 if number else rsv,
                key=self.key(),
            )
            if self.draw(st.integers(0, 4)) == 0:
                data += self.control()
        return data

    def close(self) -> bytes:
        code = self.draw(st.none() | st.sampled_from(CODES))
        reason = self.draw(TEXTS | WRONG_TEXTS)[:100]
        return close_frame(code, reason, key=self.key())

    def malformed(self) -> bytes:
        """A frame with one thing wrong."""
        key = self.key()
        opcode = self.draw(st.sampled_from([CONTINUATION, TEXT, BINARY, PING, PONG, 8]))
        wrong_key = KEY if key is None else None
        return self.draw(
            st.sampled_from(
                [
                    frame(opcode, b"ab", key=wrong_key),
                    frame(opcode, b"ab", form=2, key=key),
                    frame(opcode, b"ab", form=8, key=key),
                    frame(opcode, b"ab", rsv=RSV1, key=key),
                    frame(opcode, b"ab", rsv=RSV2, key=key),
                    frame(opcode, b"ab", rsv=RSV3, key=key),
                    frame(opcode, b"ab", fin=False, key=key),
                    frame(opcode | 4, b"ab", key=key),
                    frame(opcode, bytes(126), key=key),
                    frame(opcode, b"ab", length=1 << 63, key=key),
                    frame(CONTINUATION, b"ab", key=key),
                ]
            )
        )

    def __call__(self) -> bytes:
        kinds = [self.message] * 6 + [self.control] * 2 + [self.close, self.malformed]
        number = self.draw(st.integers(1, 6))
        return b"".join(self.draw(st.sampled_from(kinds))() for _ in range(number))


@st.composite
def streams(draw: st.DrawFn, *, server: bool = True, takeover: bool | None = None) -> bytes:
    """Streams of frames, as a client (for a server) or a server sends them."""
    return Stream(draw, server=server, takeover=takeover)()


@st.composite
def damaged(draw: st.DrawFn, *, server: bool = True, takeover: bool | None = None) -> bytes:
    """The same with some bytes changed, put in or taken out, and an end to the last frame."""
    data = bytearray(draw(streams(server=server, takeover=takeover)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        how = draw(st.sampled_from(["flip", "set", "insert", "delete"]))
        if how == "flip":
            data[at : at + 1] = bytes(
                byte ^ 1 << draw(st.integers(0, 7)) for byte in data[at : at + 1]
            )
        elif how == "delete":
            del data[at : at + draw(st.integers(1, 4))]
        else:
            data[at : at + (how == "set")] = draw(st.binary(min_size=1, max_size=4))
    return complete(bytes(data))


def complete(data: bytes) -> bytes:
    """Ends the last frame, for those who look at a frame only when all of it is there."""
    at = 0
    while at < len(data):
        while (head := header(data, at)) is None:
            data += b"\0"
        at += head.size + min(head.length, MAX_SIZE)
    return data + bytes(at - len(data))


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[int]:
    """Places to cut at: none, everywhere, or some."""
    how = draw(st.sampled_from(["whole", "bytes", "random"]))
    if how == "whole":
        return []
    if how == "bytes" and len(data) < 2000:
        return list(range(1, len(data)))
    return sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
