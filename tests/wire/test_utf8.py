"""Section 8.1: text is UTF-8 (RFC 3629), and what is not fails at its first wrong byte."""

import random
from collections.abc import Iterator
from itertools import product

import pytest

from fastws.wire import Connection, Opcode, State
from fastws.wire.frames import is_utf8
from tests.wire import reference
from tests.wire.drive import SHARED, connect, events, receive, sent
from tests.wire.reference import CONTINUATION, PING, RSV1, TEXT, Deflater, frame

# The first and last code point of each length, and those around the surrogates.
BOUNDARIES = [0x0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF]
# Every byte at which some range of RFC 3629 section 4 begins or ends.
EDGES = bytes.fromhex("00417f80818f90919fa0bfc0c1c2dfe0e1ececedeeeff0f1f3f4f5ff")
WRONG = {
    "overlong /": b"\xc0\xaf",
    "overlong 3-byte": b"\xe0\x9f\xbf",
    "overlong 4-byte": b"\xf0\x8f\xbf\xbf",
    "low surrogate": b"\xed\xa0\x80",
    "high surrogate": b"\xed\xbf\xbf",
    "CESU-8": b"\xed\xa0\xbd\xed\xb8\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "lone continuation": b"\x80",
    "latin-1": b"caf\xe9 au lait",
    "FF": b"\xff",
    "cut short by ASCII": b"\xe2\x82a",
}


def first_wrong_byte(data: bytes) -> int:
    """Gives how many bytes it takes until no text can come of it."""
    return next(n for n in range(1, len(data) + 1) if not reference.begins_utf8(data[:n]))


def test_every_sequence_of_one_and_two_bytes() -> None:
    """T9: as `bytes.decode` has it."""
    for n in (1, 2):
        for sequence in map(bytes, product(range(256), repeat=n)):
            assert is_utf8(sequence) == reference.is_utf8(sequence)


@pytest.mark.parametrize("n", [3, 4])
def test_sequences_of_edges(n: int) -> None:
    """T9: every sequence of the bytes at which ranges begin and end."""
    for sequence in map(bytes, product(EDGES, repeat=n)):
        assert is_utf8(sequence) == reference.is_utf8(sequence)


def test_every_code_point() -> None:
    for first in range(0, 0x110000, 0x400):
        text = "".join(map(chr, range(first, first + 0x400)))
        encoded = text.encode(errors="surrogatepass")
        assert is_utf8(encoded) == (not 0xD800 <= first < 0xE000)


def samples() -> Iterator[bytes]:
    """Long runs of text, each with a wrong byte in it or none, at places of every alignment."""
    rng = random.Random(3629)
    texts = ["a" * 64, "é" * 32, "€" * 20, "𐀀" * 16, "aé€𐀀" * 8]
    for text in texts:
        encoded = text.encode()
        for place in range(len(encoded)):
            yield encoded[:place] + bytes((rng.choice(EDGES),)) + encoded[place + 1 :]
            yield encoded[place:]
            yield encoded[:place]


def test_runs_of_text_with_a_wrong_byte_anywhere() -> None:
    """The quick way through ASCII neither skips a byte nor reads one twice."""
    for data in samples():
        valid = reference.is_utf8(data)
        assert is_utf8(data) == valid
        expected = [(Opcode.TEXT, data.decode())] if valid else 1007
        for cuts in ((), (3, 40)):
            connection = connect()
            found = receive(connection, frame(TEXT, data), cuts)
            assert found == expected or found[0][1][0] == expected


CUTS = [(chr(point), cut) for point in BOUNDARIES for cut in range(len(chr(point).encode()) + 1)]


@pytest.mark.parametrize(("text", "cut"), CUTS)
def test_a_character_may_be_cut_anywhere(text: str, cut: int) -> None:
    """T9, 8.1 and 5.4: between parts, between fragments, and between reads of one frame."""
    data = text.encode()
    assert is_utf8(data[:cut], data[cut:])
    assert is_utf8(b"", data[:cut], b"", data[cut:], b"")
    around = f"before {text} after"
    before, after = b"before " + data[:cut], data[cut:] + b" after"
    fragments = frame(TEXT, before, fin=False) + frame(PING) + frame(CONTINUATION, after)
    assert receive(connect(), fragments) == [(Opcode.TEXT, around)]
    whole = frame(TEXT, around.encode())
    assert receive(connect(), whole, [6 + len(before)]) == [(Opcode.TEXT, around)]


@pytest.mark.parametrize(("text", "cut"), CUTS)
def test_a_text_does_not_end_inside_a_character(text: str, cut: int) -> None:
    """T9: 1007, however many bytes of the character there are."""
    part = text.encode()[:cut]
    if reference.is_utf8(part):
        return
    for data in (
        frame(TEXT, b"x" + part),
        frame(TEXT, b"x", fin=False) + frame(CONTINUATION, part),
        frame(TEXT, b"x" + part, fin=False) + frame(CONTINUATION),
    ):
        assert receive(connect(), data)[0][1][0] == 1007
    assert not is_utf8(part)


def feed_until_failure(connection: Connection, data: bytes) -> int:
    """Feeds byte by byte; gives how many bytes it took to fail."""
    for n, byte in enumerate(data, 1):
        connection.receive_data(bytes((byte,)))
        if connection.state is not State.OPEN:
            return n
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("prefix", [b"", b"a", b"sixteen bytes..", "€".encode() * 3])
@pytest.mark.parametrize("wrong", list(WRONG.values()), ids=list(WRONG))
def test_8_1_a_frame_fails_at_its_first_wrong_byte(wrong: bytes, prefix: bytes) -> None:
    """T9: at once, though the frame goes on for long, and though the message does."""
    payload = prefix + wrong
    due = first_wrong_byte(payload)
    for fin in (True, False):
        connection = connect()
        head = frame(TEXT, length=1000, fin=fin)
        masked = frame(TEXT, payload)[6:]
        connection.receive_data(head)
        assert feed_until_failure(connection, masked) == due
        assert events(connection) == [(Opcode.CLOSE, (1007, "a text message is not UTF-8"))]
        assert sent(connection)[-1].payload[:2] == (1007).to_bytes(2, "big")


@pytest.mark.parametrize("wrong", list(WRONG.values()), ids=list(WRONG))
@pytest.mark.parametrize("raw", [False, True])
def test_8_1_every_way_to_a_text_is_checked(wrong: bytes, raw: bool) -> None:
    """T9: in one frame, in two, inflated; as `str` and raw."""
    shared = Deflater(takeover=False)
    for data in (
        frame(TEXT, wrong),
        frame(TEXT, b"a", fin=False) + frame(CONTINUATION, wrong),
        frame(TEXT, shared(wrong), rsv=RSV1),
        frame(TEXT, b"", fin=False) + frame(CONTINUATION, wrong),
    ):
        connection = connect(params=SHARED)
        connection.raw = raw
        assert receive(connection, data)[0][1][0] == 1007


def test_raw_text_is_the_bytes_of_its_utf8() -> None:
    connection = connect()
    connection.raw = True
    encoded = "aé€𐀀".encode()
    data = frame(TEXT, encoded) + frame(TEXT, encoded[:2], fin=False) + frame(0, encoded[2:])
    assert receive(connection, data + frame(TEXT)) == [
        (Opcode.TEXT, encoded),
        (Opcode.TEXT, encoded),
        (Opcode.TEXT, b""),
    ]


def test_binary_may_be_anything() -> None:
    for wrong in WRONG.values():
        assert receive(connect(), frame(2, wrong)) == [(Opcode.BINARY, wrong)]
