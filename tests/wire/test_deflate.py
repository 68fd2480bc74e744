"""RFC 7692 sections 6 to 8: compressed messages."""

import random
import zlib
from itertools import product

import pytest

from fastws.wire import Connection, Deflate, Opcode, Params, Role, State
from tests.wire.drive import SHARED, TAKEOVER, connect, events, every, fails_with, receive, sent
from tests.wire.reference import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    RSV1,
    TAIL,
    TEXT,
    Deflater,
    Inflater,
    frame,
)
from tests.wire.vectors import FINAL, FINAL_TAIL, HELLO, deflated

WORDS = ["", "a", "Hello", "Hello", "€" * 300, "", "", "Hello" * 1000, "x", "lorem ipsum " * 99]
PARAMS = [
    Params(server, client, server_bits, client_bits)
    for server, client in product((False, True), repeat=2)
    for server_bits, client_bits in ((15, 15), (9, 12), (12, 9))
]
BOTH = pytest.mark.parametrize("params", [SHARED, TAKEOVER], ids=["shared", "takeover"])


def sender(params: Params) -> Deflater:
    """The client's half of what was agreed on."""
    return Deflater(takeover=params.client_takeover, bits=params.client_bits)


def text(payload: bytes) -> bytes:
    return frame(TEXT, payload, rsv=RSV1)


# 7.2.3: the examples.


@pytest.mark.parametrize(
    "payload",
    [
        "f2 48 cd c9 c9 07 00",  # 7.2.3.1: one block
        "00 05 00 fa ff 48 65 6c 6c 6f 00",  # 7.2.3.3: without compression
        "f3 48 cd c9 c9 07 00 00",  # 7.2.3.4: BFINAL
        "f2 48 05 00 00 00 ff ff ca c9 c9 07 00",  # 7.2.3.5: two blocks
    ],
)
@BOTH
def test_7_2_3_the_examples(payload: str, params: Params) -> None:
    assert receive(connect(params=params), text(bytes.fromhex(payload))) == [(Opcode.TEXT, "Hello")]


def test_7_2_3_1_fragments() -> None:
    data = frame(TEXT, bytes.fromhex("f2 48 cd"), rsv=RSV1, fin=False)
    data += frame(CONTINUATION, bytes.fromhex("c9 c9 07 00"))
    assert receive(connect(params=SHARED), data) == [(Opcode.TEXT, "Hello")]


def test_7_2_3_2_the_window_is_kept() -> None:
    """7.2.3.2: the second "Hello" is a reference to the first; not without context takeover."""
    data = text(bytes.fromhex("f2 48 cd c9 c9 07 00")) + text(bytes.fromhex("f2 00 11 00 00"))
    assert receive(connect(params=TAKEOVER), data) == [(Opcode.TEXT, "Hello")] * 2
    assert [event[0] for event in receive(connect(params=SHARED), data)] == [
        Opcode.TEXT,
        Opcode.CLOSE,
    ]


# Many messages, both ways.


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("role", Role)
def test_messages_come_out_as_they_were_sent(role: Role, params: Params) -> None:
    """T2: through every combination of parameters, empty messages in a row among them."""
    one, other = connect(role, params), connect(Role(1 - role), params)
    for _ in range(3):
        for word in WORDS:
            one.send_text(word)
            one.send_binary(word.encode(), compress=len(word) % 2 == 0)
        expected = [
            event for w in WORDS for event in ((Opcode.TEXT, w), (Opcode.BINARY, w.encode()))
        ]
        assert receive(other, one.data_to_send()) == expected
        one, other = other, one


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("role", Role)
def test_zlib_reads_what_we_send(role: Role, params: Params) -> None:
    """An independent decoder, with the window that was agreed on and no larger one."""
    connection = connect(role, params)
    if role is Role.SERVER:
        inflate = Inflater(takeover=params.server_takeover, bits=params.server_bits)
    else:
        inflate = Inflater(takeover=params.client_takeover, bits=params.client_bits)
    rng = random.Random(7692)
    messages = [rng.choice(WORDS).encode() * rng.randrange(9) for _ in range(200)]
    for message in messages:
        connection.send_binary(message)
    found = [inflate(f.payload) if f.rsv == RSV1 else f.payload for f in sent(connection)]
    assert found == messages


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_we_read_what_zlib_sends(params: Params) -> None:
    connection, deflate = connect(params=params), sender(params)
    for word in WORDS * 20:
        assert receive(connection, text(deflate(word.encode()))) == [(Opcode.TEXT, word)]


@pytest.mark.parametrize("bits", range(9, 16))
def test_takeover_reaches_back_as_far_as_the_window(bits: int) -> None:
    """A message that repeats one from nearly a window ago is found there, in both directions."""
    params = Params(True, True, bits, bits)
    noise = random.Random(bits).randbytes((1 << bits) - 262)
    server, client = connect(Role.SERVER, params), connect(Role.CLIENT, params)
    for one, other in ((server, client), (client, server)):
        one.send_binary(noise)
        one.data_to_send()
        one.send_binary(noise[:100])
        data = one.data_to_send()
        assert len(data) < 40
        del other
    deflate = Deflater(takeover=True, bits=bits)
    for message in (noise, noise[:100], b"", noise[:100]):
        assert receive(server, frame(BINARY, deflate(message), rsv=RSV1))[-1][1] == message


def test_connections_on_shared_streams_do_not_meet() -> None:
    """Without takeover, one stream serves all: messages of many connections take turns."""
    count = 5
    servers = [connect(Role.SERVER, SHARED) for _ in range(count)]
    clients = [connect(Role.CLIENT, SHARED) for _ in range(count)]
    for turn in range(20):
        for number, client in enumerate(clients):
            client.send_text(f"{number} says {turn} " * 50)
            data = client.data_to_send()
            half = len(data) // 2
            servers[number].receive_data(data[:half])
            servers[number - 1].receive_data(b"")
            assert receive(servers[number], data[half:]) == [
                (Opcode.TEXT, f"{number} says {turn} " * 50)
            ]


def test_a_failed_message_leaves_the_shared_streams_usable() -> None:
    """T2, T23: after each way to fail, other connections' messages are right."""
    for wrong in (b"\xff\xff", HELLO[:3], HELLO + TAIL, FINAL + b"rest", b"\x02\x01\x00"):
        assert receive(connect(params=SHARED), text(wrong))[0][1][0] == 1007
        assert receive(connect(params=SHARED), text(HELLO)) == [(Opcode.TEXT, "Hello")]


# 6: the RSV1 bit.


def test_6_rsv1_needs_the_extension() -> None:
    for opcode in (TEXT, BINARY):
        assert fails_with(1002, connect(), frame(opcode, HELLO, rsv=RSV1)[:6])


@BOTH
def test_6_1_rsv1_is_not_for_continuations(params: Params) -> None:
    for first in (0, RSV1):
        connection = connect(params=params)
        connection.receive_data(frame(BINARY, HELLO[:3], rsv=first, fin=False))
        assert fails_with(1002, connection, frame(CONTINUATION, HELLO[3:], rsv=RSV1)[:6])


@BOTH
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_6_1_rsv1_is_not_for_control_frames(opcode: int, params: Params) -> None:
    assert fails_with(1002, connect(params=params), frame(opcode, rsv=RSV1))


@BOTH
def test_6_2_messages_may_go_uncompressed(params: Params) -> None:
    connection, deflate = connect(params=params), sender(params)
    for word in WORDS:
        data = frame(TEXT, word.encode()) + text(deflate(word.encode()))
        assert receive(connection, data) == [(Opcode.TEXT, word)] * 2


@BOTH
def test_6_1_a_message_may_be_cut_anywhere(params: Params) -> None:
    """In fragments of each size, with pings between; reads do not matter."""
    message = "Hello €" * 20
    for size in range(1, 40):
        connection, deflate = connect(params=params), sender(params)
        for _ in range(2):
            payload = deflate(message.encode())
            data = frame(TEXT, rsv=RSV1, fin=False)
            for at in range(0, len(payload), size):
                data += frame(CONTINUATION, payload[at : at + size], fin=False) + frame(PING)
            data += frame(CONTINUATION)
            assert receive(connection, data, every(11, data)) == [(Opcode.TEXT, message)]


# 7.2.1 and 7.2.3.4: final blocks.


@BOTH
def test_7_2_3_4_a_final_block_ends_a_stream_not_the_connection(params: Params) -> None:
    """T2: the message after it is right, and may refer to all that was before."""
    connection = connect(params=params)
    history = b""
    for number in range(10):
        message = f"message {number}, as message {number - 1}".encode()
        for flush, cut, more in (
            (zlib.Z_FINISH, None, b"\x00"),
            (zlib.Z_FINISH, None, b""),
            (zlib.Z_SYNC_FLUSH, -4, b""),
        ):
            payload = deflated_after(history, message, flush)[:cut] + more
            assert receive(connection, text(payload)) == [(Opcode.TEXT, message.decode())]
            if params.client_takeover:
                history += message


def deflated_after(history: bytes, data: bytes, flush: int) -> bytes:
    """Deflates with references into what went before, yet on a stream of its own."""
    stream = zlib.compressobj(wbits=-15, zdict=history)
    return stream.compress(data) + stream.flush(flush)


@BOTH
def test_7_2_1_the_empty_block_may_be_final(params: Params) -> None:
    """7.2.1: blocks "with the BFINAL bit set to 1" are allowed, the last one, too."""
    connection = connect(params=params)
    assert receive(connection, text(FINAL_TAIL) + text(HELLO)) == [(Opcode.TEXT, "Hello")] * 2


@BOTH
@pytest.mark.parametrize(
    "behind", [b"\x00\x00", b"\x01", b"garbage", TAIL, b"\x00" + TAIL, HELLO, FINAL * 100_000]
)
def test_bytes_behind_a_final_block(behind: bytes, params: Params) -> None:
    """T2: 1007, and for 100,000 tiny members at the first."""
    connection = connect(params=params)
    assert receive(connection, text(FINAL + behind))[0][1][0] == 1007


@BOTH
def test_many_final_blocks_one_to_a_message(params: Params) -> None:
    """T2: linear; quadratic work would take minutes."""
    connection = connect(params=params)
    assert len(receive(connection, text(b"\x03\x00") * 20_000)) == 20_000
    assert receive(connection, text(HELLO)) == [(Opcode.TEXT, "Hello")]


def test_many_empty_blocks_in_a_message() -> None:
    """T2: 100,000 of them, stored and fixed."""
    for block in (b"\x00\x00\x00\xff\xff", deflated(b"", zlib.Z_SYNC_FLUSH)):
        data = text(block * 100_000 + HELLO)
        assert receive(connect(params=SHARED), data) == [(Opcode.TEXT, "Hello")]


# Errors.

CORRUPT = {
    "reserved block type": b"\x06",
    "illegal length of a stored block": b"\x00\x05\x00\x00\x00Hello",
    "distance too far back": b"\x02\x01\x00",
    "too many codes": b"\xfc\xff\xff",
    "truncated by a byte": HELLO[:-1],
    "truncated to a byte": HELLO[:1],
    "stored block cut short": b"\x00\x20\x00\xdf\xffHello",
    "tail left on": HELLO + TAIL,
    "tail left on by half": HELLO + TAIL[:2],
    "random": random.Random(1).randbytes(64),
}


@BOTH
@pytest.mark.parametrize("payload", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_corrupt_payloads(opcode: int, payload: bytes, params: Params) -> None:
    """T2: 1007 for each, as the first message and after another, whole and in pieces."""
    for before in (b"", text(sender(params)(b"Hello"))):
        for cuts in ((), range(len(before) + 1, 999)):
            connection = connect(params=params)
            data = before + frame(opcode, payload, rsv=RSV1)
            *_, (kind, closing) = receive(connection, data, cuts)
            assert (kind, closing) == (Opcode.CLOSE, (1007, "a compressed message is corrupt"))


@pytest.mark.parametrize("bits", [9, 10, 12])
def test_a_distance_beyond_the_window_that_was_agreed_on(bits: int) -> None:
    """T2: a client that promised a small window and uses a large one."""
    params = Params(True, True, 15, bits)
    noise = random.Random(bits).randbytes(4 << bits)
    connection, deflate = connect(params=params), Deflater(takeover=True, bits=15)
    assert len(receive(connection, frame(BINARY, deflate(noise), rsv=RSV1))) == 1
    (event,) = receive(connection, frame(BINARY, deflate(noise[:300]), rsv=RSV1))
    assert event[1][0] == 1007


# 7.2.3.6: empty messages.


@BOTH
def test_7_2_3_6_empty_messages(params: Params) -> None:
    """T2: in a row; zlib flushes nothing for the second, so 0x00 is ours to write."""
    connection = connect(params=params)
    for _ in range(5):
        connection.send_text("")
    assert {f.payload for f in sent(connection)} == {b"\x00" if params == TAKEOVER else b""}
    assert receive(connect(params=params), text(b"\x00") * 5) == [(Opcode.TEXT, "")] * 5


@BOTH
def test_a_compressed_message_without_a_byte(params: Params) -> None:
    """T2: an empty message; its tail, fed to zlib, would break the next one."""
    connection, deflate = connect(params=params), sender(params)
    for _ in range(3):
        data = text(b"") + text(deflate(b"Hello"))
        assert receive(connection, data) == [(Opcode.TEXT, ""), (Opcode.TEXT, "Hello")]


# What is compressed.


@BOTH
def test_short_messages_are_not_compressed(params: Params) -> None:
    for threshold in (0, 1, 10, 256):
        connection = connect(params=params, options=Deflate(threshold=threshold))
        for size in {max(threshold - 1, 0), threshold, threshold + 300}:
            connection.send_binary(bytes(size))
            (f,) = sent(connection)
            expected = size >= threshold and (params == TAKEOVER or size > 5)
            assert (f.rsv == RSV1) == expected, (threshold, size)


@BOTH
def test_a_message_that_does_not_shrink(params: Params) -> None:
    """It goes as it is, unless the peer's window waits for it."""
    connection = connect(params=params)
    noise = random.Random(0).randbytes(1000)
    connection.send_binary(noise)
    (f,) = sent(connection)
    assert (f.rsv == RSV1) == (params == TAKEOVER)
    assert (f.payload == noise) == (params == SHARED)


def test_control_frames_are_never_compressed() -> None:
    connection = connect(params=TAKEOVER)
    connection.send_ping(b"a" * 125)
    connection.send_close(1000, "a" * 123)
    assert [f.rsv for f in sent(connection)] == [0, 0]


@BOTH
def test_compress_false_sends_a_message_as_it_is(params: Params) -> None:
    connection = connect(params=params)
    connection.send_text("a" * 1000, compress=False)
    connection.send_text("a" * 1000, compress=True)
    assert [f.rsv for f in sent(connection)] == [0, RSV1]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65535, 65536, 1 << 20, (1 << 20) + 1, 5 << 20])
@pytest.mark.parametrize("role", Role)
def test_sizes_around_those_of_the_buffers(role: Role, size: int) -> None:
    """Noise, zeros and text, through scratch space that grows and is given back."""
    for params in (SHARED, TAKEOVER):
        one = connect(role, params, max_message_size=None)
        other = connect(Role(1 - role), params, max_message_size=None)
        noise = random.Random(size).randbytes(size)
        for message in (noise, bytes(size), b"small", noise[: size // 2] * 2):
            one.send_binary(message)
            assert receive(other, one.data_to_send()) == [(Opcode.BINARY, message)]


def test_a_server_that_closes_still_reads_what_is_compressed() -> None:
    """5.5.1: until the peer's close frame; the window goes on, the messages go nowhere."""
    connection, deflate = connect(params=TAKEOVER), Deflater(takeover=True)
    connection.send_close()
    connection.receive_data(text(deflate(b"Hello")) + text(deflate(b"Hello")))
    assert connection.state is State.CLOSE_SENT
    connection.receive_data(text(b"\xff"))
    assert events(connection) == [(Opcode.CLOSE, (1000, ""))]


def test_a_client_reads_an_unmasked_compressed_frame() -> None:
    client: Connection = connect(Role.CLIENT, SHARED)
    assert receive(client, frame(TEXT, HELLO, rsv=RSV1, key=None)) == [(Opcode.TEXT, "Hello")]
    assert receive(connect(params=SHARED), frame(TEXT, HELLO, rsv=RSV1, key=KEY)) != []
