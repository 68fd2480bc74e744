"""The mask and UTF-8 kernels against their scalar truth, and the frame header."""

import array
import random
from itertools import product
from typing import Any

import pytest

from fastws.wire import Opcode, Role, State
from fastws.wire.frames import apply_mask, is_utf8
from tests.wire.drive import connect, events, every, fails_with, receive, sent
from tests.wire.reference import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    frame,
    header,
    mask,
)

NOISE = random.Random(6455).randbytes(512)
ROTATIONS = [KEY[turn:] + KEY[:turn] for turn in range(4)]
# No bytes, or not as a run of bytes: a view of them must not be read.
NOT_BYTES: dict[str, Any] = {
    "None": None,
    "a number": 5,
    "text": "text",
    "a list": [1, 2],
    "wider numbers": array.array("I", [1]),
    "every other byte": memoryview(b"abcdef")[::2],
    "two dimensions": memoryview(b"abcdef").cast("B", (2, 3)),
}
REFUSED = (TypeError, ValueError, BufferError)


def xor(data: bytes, key: bytes) -> bytes:
    """`mask` by one long number; quick enough for every length at every place."""
    keys = (key * (len(data) // 4 + 1))[: len(data)]
    number = int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")
    return number.to_bytes(len(data), "big")


def test_5_3_the_example() -> None:
    """5.3: octet i of the payload is XORed with octet i MOD 4 of the key."""
    assert apply_mask(b"Hello", KEY) == b"\x7f\x9f\x4d\x51\x58"
    assert apply_mask(b"\x7f\x9f\x4d\x51\x58", KEY) == b"Hello"


@pytest.mark.parametrize("key", ROTATIONS, ids=bytes.hex)
def test_the_mask_is_right_for_every_length_at_every_alignment(key: bytes) -> None:
    """T8: 0 to 300 bytes, at 64 offsets, under 4 rotations of a key."""
    assert all(xor(NOISE[:n], key) == mask(NOISE[:n], key) for n in range(301))
    view = memoryview(NOISE)
    wrong = [
        (n, offset)
        for offset in range(64)
        for n in range(301)
        if apply_mask(view[offset : offset + n], key) != xor(NOISE[offset : offset + n], key)
    ]
    assert wrong == []


def test_unmasking_in_place_is_right_for_every_length_at_every_alignment() -> None:
    """T8: frames behind a ping of each size, so that their payloads begin anywhere."""
    for offset, n in product(range(64), range(0, 301, 7)):
        payload = NOISE[offset : offset + n]
        data = frame(PING, NOISE[:offset]) + frame(BINARY, payload) + frame(BINARY, NOISE)
        assert receive(connect(), data) == [(Opcode.BINARY, payload), (Opcode.BINARY, NOISE)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 31, 33, 127, 129])
def test_the_key_turns_with_the_pieces_of_a_frame(size: int) -> None:
    data = frame(BINARY, NOISE)
    assert receive(connect(), data, every(size, data)) == [(Opcode.BINARY, NOISE)]


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_a_key_has_four_bytes(key: bytes) -> None:
    with pytest.raises(ValueError, match="four bytes"):
        apply_mask(b"data", key)


@pytest.mark.parametrize("wrong", NOT_BYTES.values(), ids=NOT_BYTES)
def test_bytes_that_are_no_run_of_bytes_are_refused(wrong: Any) -> None:
    """T23: what is not contiguous bytes is never read."""
    for call in (
        lambda: apply_mask(wrong, KEY),
        lambda: is_utf8(wrong),
        lambda: connect().receive_data(wrong),
        lambda: connect().send_binary(wrong),
        lambda: connect().send_ping(wrong),
    ):
        with pytest.raises(REFUSED):
            call()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_any_run_of_bytes_will_do(kind: Any) -> None:
    connection = connect()
    assert receive(connection, kind(frame(BINARY, b"data"))) == [(Opcode.BINARY, b"data")]
    connection.send_binary(kind(b"data"))
    connection.send_ping(kind(b""))
    assert [reply.payload for reply in sent(connection)] == [b"data", b""]
    assert apply_mask(kind(b"Hello"), KEY) == b"\x7f\x9f\x4d\x51\x58"
    assert is_utf8(kind(b"\xe2\x82"), kind(b"\xac"))


def test_receiving_leaves_the_bytes_as_they_were() -> None:
    data = bytearray(frame(BINARY, NOISE))
    before = bytes(data)
    connect().receive_data(data)
    assert data == before


# 5.2: the header.


@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
@pytest.mark.parametrize("role", Role)
def test_5_2_the_shortest_length_is_written_and_read(role: Role, n: int) -> None:
    """5.2: "the minimal number of bytes MUST be used to encode the length"."""
    connection = connect(role)
    connection.send_binary(bytes(n))
    data = connection.data_to_send()
    head = header(data)
    assert head is not None
    assert (head.length, head.minimal) == (n, True)
    assert head.masked == (role is Role.CLIENT)
    assert receive(connect(Role(1 - role)), data) == [(Opcode.BINARY, bytes(n))]


@pytest.mark.parametrize("n", [0, 1, 5, 124, 125])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
def test_5_2_a_length_below_126_in_the_longer_forms(opcode: int, n: int) -> None:
    """T7: 1002, and by the two or ten bytes that say so, before the masking key."""
    for form in (2, 8):
        whole = frame(opcode, length=n, form=form)
        assert fails_with(1002, connect(), whole[: 2 + form])


@pytest.mark.parametrize("n", [126, 127, 255, 256, 65534, 65535])
def test_5_2_a_length_below_65536_in_64_bits(n: int) -> None:
    """T7."""
    assert fails_with(1002, connect(), frame(BINARY, length=n, form=8)[:10])


@pytest.mark.parametrize("rsv", [RSV1, RSV2, RSV3, RSV1 | RSV2, RSV2 | RSV3])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
def test_5_2_reserved_bits(opcode: int, rsv: int) -> None:
    """5.2: RSV1-3 "MUST be 0 unless an extension is negotiated that defines meanings"."""
    assert fails_with(1002, connect(), frame(opcode, b"x", rsv=rsv)[:6])


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_5_2_reserved_opcodes(opcode: int) -> None:
    """5.2: "If an unknown opcode is received, the receiving endpoint MUST" fail."""
    for fin in (True, False):
        assert fails_with(1002, connect(), frame(opcode, fin=fin))


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
@pytest.mark.parametrize("payload", [b"", b"x", bytes(200)])
def test_5_1_a_client_masks_and_a_server_does_not(opcode: int, payload: bytes) -> None:
    """T8, 5.1: "The server MUST close the connection upon receiving a frame that is not masked.

    A client MUST close a connection if it detects a masked frame."
    """
    payload = payload if opcode in (TEXT, BINARY) else payload[:125]
    bare, masked = frame(opcode, payload, key=None), frame(opcode, payload)
    head = len(bare) - len(payload)
    assert fails_with(1002, connect(Role.SERVER), bare[:head])
    assert fails_with(1002, connect(Role.CLIENT), masked[: head + 4])


def test_5_1_a_continuation_is_masked_too() -> None:
    connection = connect()
    connection.receive_data(frame(TEXT, b"a", fin=False))
    assert fails_with(1002, connection, frame(CONTINUATION, key=None))


def test_5_3_every_frame_of_a_client_has_a_key_of_its_own() -> None:
    """5.3: "A masked frame MUST have a fresh key, one that cannot be predicted"."""
    connection = connect(Role.CLIENT)
    for _ in range(5000):
        connection.send_ping(b"x")
    connection.send_close()
    keys = [sending.key for sending in sent(connection)]
    assert None not in keys
    assert len(set(keys)) > 4990  # 5001 of 4 billion: a repetition is possible, many are not


def test_mask_key_0_is_a_key() -> None:
    """T8."""
    assert receive(connect(), frame(TEXT, b"Hello", key=bytes(4))) == [(Opcode.TEXT, "Hello")]


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_header_may_come_in_two_pieces(cut: int) -> None:
    data = frame(BINARY, bytes(65536))
    assert receive(connect(), data, [cut]) == [(Opcode.BINARY, bytes(65536))]


def test_a_fault_in_the_last_byte_of_a_header_that_came_in_pieces() -> None:
    data = frame(BINARY, length=1 << 63, form=8)[:10]
    connection = connect()
    for byte in data:
        assert connection.state is State.OPEN
        connection.receive_data(bytes((byte,)))
    assert events(connection)[0][1][0] == 1002
