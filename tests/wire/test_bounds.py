"""What a peer may cost: bombs, floods of fragments, and lengths that wrap (T1, T4, T5, T6)."""

import sys
import zlib

import pytest

from fastws.limits import Limits
from fastws.wire import Opcode
from tests.wire.drive import SHARED, TAKEOVER, connect, events, fails_with, receive
from tests.wire.memory import ASAN, KIB, MIB, cost, run
from tests.wire.reference import BINARY, CONTINUATION, PING, RSV1, TEXT, Deflater, frame

LIMIT = Limits().max_message_size or 0
# What a process needs besides: a read, its copy, pages that are touched for the first time.
CONSTANT = 8 * MIB if ASAN else 512 * KIB


def zeros(size: int) -> bytes:
    """Zeros, deflated to a thousandth."""
    stream = zlib.compressobj(9, wbits=-15)
    parts = [stream.compress(bytes(MIB)) for _ in range(size // MIB)]
    parts.append(stream.compress(bytes(size % MIB)))
    return b"".join(parts) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]


def fragments(payload: bytes, size: int, *, rsv: int = 0) -> bytes:
    """A binary message in fragments of one size."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    data = frame(BINARY, parts[0], rsv=rsv, fin=False)
    return data + b"".join(frame(CONTINUATION, p, fin=False) for p in parts[1:]) + frame(0)


# T1: the inflated size.


@pytest.mark.deep
def test_a_gibibyte_in_one_frame() -> None:
    """T1: a 1 MiB frame that inflates to 1 GiB costs no more than twice the limit."""
    found = cost(frame(BINARY, zeros(1024 * MIB), rsv=RSV1), deflate=True)
    assert found.code == 1009
    assert found.size <= 2 * LIMIT + CONSTANT


@pytest.mark.deep
def test_a_gibibyte_in_1000_fragments() -> None:
    """T1."""
    payload = zeros(1024 * MIB)
    found = cost(fragments(payload, len(payload) // 999, rsv=RSV1), deflate=True)
    assert found.code == 1009
    assert found.size <= 2 * LIMIT + len(payload) + CONSTANT


def test_a_thousand_bombs_cost_what_one_does() -> None:
    """T1: nothing stays behind."""
    found = cost(frame(BINARY, zeros(64 * MIB), rsv=RSV1), count=300, deflate=True)
    assert found.code == 1009
    assert found.size <= 2 * LIMIT + 300 * KIB + CONSTANT


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("limit", [0, 1, 4095, 4096, 4097, 8192, 65536, LIMIT])
def test_a_message_may_inflate_to_the_limit(limit: int, opcode: int) -> None:
    """T1: limit - 1, limit and limit + 1; however long the steps are in which we inflate."""
    for size in {max(limit - 1, 0), limit, limit + 1}:
        for deflater in (Deflater(takeover=False), stored):
            data = frame(opcode, deflater(b"a" * size), rsv=RSV1)
            connection = connect(params=SHARED, max_message_size=limit)
            ((kind, payload),) = receive(connection, data)
            if size <= limit:
                assert (kind, len(payload)) == (opcode, size)
            else:
                assert payload == (1009, f"a message inflates to over {limit} bytes")


def stored(data: bytes) -> bytes:
    """Deflated without being made smaller."""
    stream = zlib.compressobj(0, wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_the_tail_inflates_to_something_too() -> None:
    """T1: the last bytes may come only with the tail that a receiver appends (RFC 7692 7.2.2)."""
    # A stored block of four bytes, which are exactly those that the sender has to leave away.
    payload = stored(b"12345678")[:-1] + b"\x00\x04\x00\xfb\xff"
    data = frame(BINARY, payload, rsv=RSV1)
    connection = connect(params=SHARED, max_message_size=12)
    assert receive(connection, data) == [(Opcode.BINARY, b"12345678\x00\x00\xff\xff")]
    assert fails_with(1009, connect(params=SHARED, max_message_size=11), data)


def test_the_limit_is_for_a_message_not_for_all() -> None:
    for takeover in (False, True):
        deflater = Deflater(takeover=takeover)
        connection = connect(params=TAKEOVER if takeover else SHARED, max_message_size=1000)
        for _ in range(100):
            found = receive(connection, frame(BINARY, deflater(bytes(1000)), rsv=RSV1))
            assert found == [(Opcode.BINARY, bytes(1000))]


# T3: what is kept between messages.


def test_without_takeover_idle_connections_keep_no_streams() -> None:
    """T3: 10,000 of them, each after a message in both directions."""
    size = int(run("idle", "10000"))
    assert ASAN or size <= 10_000 * 2 * KIB + CONSTANT


@pytest.mark.parametrize(("bits", "level"), [(9, 1), (12, 5), (15, 8)])
def test_with_takeover_idle_connections_keep_two_streams(bits: int, level: int) -> None:
    """T3: by the formula of zlib (zconf.h), and 10 KiB for the rest of it."""
    streams = 2 ** (bits + 2) + 2 ** (level + 9) + 2**bits + 10 * KIB
    size = int(run("idle", "200", str(bits), str(level)))
    assert ASAN or 100 * streams < size <= 1.1 * 200 * (streams + KIB) + CONSTANT


# Sizes on the wire; all limits are inclusive, and decided by the header.


def test_a_message_may_have_the_limit() -> None:
    assert receive(connect(), frame(BINARY, bytes(LIMIT))) == [(Opcode.BINARY, bytes(LIMIT))]
    assert fails_with(1009, connect(), frame(BINARY, length=LIMIT + 1))


def test_a_compressed_message_may_have_twice_the_limit_and_64_kib() -> None:
    """G5: what waits to be inflated is in memory, too."""
    limit = 2 * 1000 + 64 * KIB
    connection = connect(params=SHARED, max_message_size=1000)
    data = frame(BINARY, bytes(1000), rsv=RSV1, fin=False)
    assert receive(connection, data + frame(CONTINUATION, bytes(limit - 1000), fin=False)) == []
    assert fails_with(1009, connection, frame(CONTINUATION, length=1))
    assert fails_with(
        1009,
        connect(params=SHARED, max_message_size=1000),
        frame(BINARY, rsv=RSV1, length=limit + 1)[:14],
    )


def test_a_compressor_that_flushes_after_every_word() -> None:
    """It needs more bytes than it saves, and stays within what is allowed."""
    stream = zlib.compressobj(wbits=-15)
    words = [b"%8d" % i for i in range(LIMIT // 8)]
    payload = b"".join(stream.compress(word) + stream.flush(zlib.Z_SYNC_FLUSH) for word in words)
    assert LIMIT < len(payload) < 2 * LIMIT
    data = frame(BINARY, payload[:-4], rsv=RSV1)
    assert receive(connect(params=SHARED), data) == [(Opcode.BINARY, b"".join(words))]


@pytest.mark.parametrize("size", [1, 100, 65536])
def test_a_fragmented_message_may_have_the_limit(size: int) -> None:
    limit = 1000
    held = frame(BINARY, bytes(min(size, limit - 1)), fin=False)
    rest = limit - min(size, limit - 1)
    for fin in (True, False):
        connection = connect(max_message_size=limit)
        assert receive(connection, held) == []
        assert fails_with(1009, connection, frame(CONTINUATION, length=rest + 1, fin=fin))
    connection = connect(max_message_size=limit)
    data = held + frame(CONTINUATION, bytes(rest), fin=False) + frame(CONTINUATION)
    assert receive(connection, data) == [(Opcode.BINARY, bytes(limit))]


@pytest.mark.parametrize("rsv", [0, RSV1])
def test_a_frame_may_have_the_limit(rsv: int) -> None:
    connection = connect(params=SHARED, max_frame_size=100)
    assert receive(connection, frame(BINARY, bytes(100), rsv=rsv, fin=False)) == []
    assert fails_with(1009, connection, frame(CONTINUATION, length=101))
    connection = connect(params=SHARED, max_frame_size=100)
    assert fails_with(1009, connection, frame(BINARY, length=101, rsv=rsv))


@pytest.mark.parametrize("rsv", [0, RSV1])
def test_wire_bytes_are_counted_with_their_headers(rsv: int) -> None:
    """Two masked fragments of 20 bytes: 26 bytes each."""
    data = frame(BINARY, bytes(20), rsv=rsv, fin=False)
    more = frame(CONTINUATION, bytes(20), fin=False)
    connection = connect(params=SHARED, max_wire_size=52)
    assert receive(connection, data + frame(PING, bytes(100)) + more) == []
    assert fails_with(1009, connection, frame(CONTINUATION))
    connection = connect(params=SHARED, max_wire_size=51)
    assert receive(connection, data) == []
    assert fails_with(1009, connection, more[:6])


def test_wire_bytes_are_those_of_one_message() -> None:
    connection = connect(max_wire_size=30)
    for _ in range(10):
        assert len(receive(connection, frame(BINARY, bytes(24)))) == 1
        data = frame(BINARY, bytes(8), fin=False) + frame(CONTINUATION, bytes(10))
        assert len(receive(connection, data)) == 1


def test_limits_of_each_connection_do_not_add_up() -> None:
    """An app may compute them anew for each; what is derived from them is not kept for ever."""
    all_limits = [Limits(max_message_size=size) for size in range(2000)]
    for limits in all_limits:
        assert fails_with(1009, connect(limits=limits), frame(BINARY, length=2000)[:8])
    assert sum(sys.getrefcount(limits) > 3 for limits in all_limits) < 300


# T6: lengths of 64 bits.

LENGTHS = [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1]
OVERFLOWING = [2**63, 2**63 + 5, 2**64 - 1]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("rsv", [0, RSV1])
@pytest.mark.parametrize("length", [*LENGTHS, *OVERFLOWING])
def test_a_length_that_no_memory_has(length: int, opcode: int, rsv: int) -> None:
    """T6: as the first frame, and as a continuation with bytes held."""
    code = 1002 if length in OVERFLOWING else 1009
    header = 10 if length in OVERFLOWING else 14
    assert fails_with(code, connect(params=SHARED), frame(opcode, length=length, rsv=rsv)[:header])
    connection = connect(params=SHARED)
    connection.receive_data(frame(opcode, b"held", rsv=rsv, fin=False))
    assert fails_with(code, connection, frame(CONTINUATION, length=length)[:header])


@pytest.mark.parametrize("length", [*LENGTHS[:-1], 2**63 - 20])
@pytest.mark.parametrize("rsv", [0, RSV1])
def test_without_limits_a_length_is_believed_but_not_allocated(length: int, rsv: int) -> None:
    """T6: what comes is kept, what was announced is not made room for."""
    off = Limits(max_message_size=None, max_frame_size=None, max_wire_size=None)
    connection = connect(params=SHARED, limits=off)
    assert receive(connection, frame(BINARY, bytes(100), length=length, rsv=rsv)) == []
    assert receive(connection, bytes(100_000)) == []
    # A sum that is not a number any more is over every limit.
    connection = connect(params=SHARED, limits=off)
    connection.receive_data(frame(BINARY, bytes(100), rsv=rsv, fin=False))
    connection.receive_data(frame(CONTINUATION, length=2**63 - 1))
    assert events(connection)[0][1][0] == 1009


@pytest.mark.parametrize("limit", [2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30])
def test_a_limit_may_be_any_number(limit: int) -> None:
    """One more than a limit never is 0."""
    limits = Limits(
        max_message_size=limit, max_frame_size=limit, max_wire_size=limit, max_tiny_fragments=limit
    )
    data = fragments(b"x" * 100, 10) + frame(TEXT, Deflater(takeover=False)(b"y" * 9999), rsv=RSV1)
    found = receive(connect(params=SHARED, limits=limits), data)
    assert found == [(Opcode.BINARY, b"x" * 100), (Opcode.TEXT, "y" * 9999)]


@pytest.mark.parametrize("name", ["max_message_size", "max_wire_size", "max_frame_size"])
def test_a_limit_may_be_lowered_while_a_message_is_read(name: str) -> None:
    """What is already there may be over it; then no frame more is accepted, not every."""
    for length in (501, 0, 1, 100):
        connection = connect()
        connection.receive_data(frame(BINARY, bytes(1000), fin=False))
        connection.set_limits(Limits().replace(**{name: 500}))
        connection.receive_data(frame(CONTINUATION, bytes(length)))
        if name != "max_frame_size" or length > 500:
            assert events(connection)[0][1][0] == 1009


def test_announced_lengths_take_no_memory() -> None:
    """T6: 1000 connections at which 1 MiB is announced and 100 bytes come."""
    found = cost(frame(BINARY, bytes(100), length=MIB), count=1000)
    assert found.code is None
    assert found.size <= 1000 * 2 * KIB + CONSTANT


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths_over_the_limit_take_no_memory(length: int) -> None:
    """T6."""
    found = cost(frame(BINARY, bytes(100), length=length), count=1000)
    assert found.code == 1009
    assert found.size <= 1000 * KIB + CONSTANT


# T4 and T5: fragments.


@pytest.mark.parametrize("payload", [b"", b"a"])
def test_a_million_tiny_fragments(payload: bytes) -> None:
    """T4: 1008, long before they end."""
    data = frame(TEXT, payload, fin=False) + frame(CONTINUATION, payload, fin=False) * 1_000_000
    found = cost(data)
    assert found.code == 1008
    assert found.size <= CONSTANT


@pytest.mark.parametrize("size", range(20))
def test_tiny_fragments_are_counted(size: int) -> None:
    """T4: fragments of fewer than 16 bytes, the first and the last as well."""
    first = frame(TEXT, b"a" * size, fin=False)
    middle = frame(CONTINUATION, b"a" * size, fin=False)
    last = frame(CONTINUATION, b"a" * size)
    connection = connect(max_tiny_fragments=3)
    assert receive(connection, (first + middle + last) * 2) == [(Opcode.TEXT, "a" * size * 3)] * 2
    assert receive(connection, first + middle * 2) == []
    if size < 16:
        assert fails_with(1008, connection, last[:6])
    else:
        assert len(receive(connection, last)) == 1


def test_messages_in_one_frame_are_not_fragments() -> None:
    connection = connect(max_tiny_fragments=0)
    data = frame(TEXT) + frame(BINARY, b"x") + frame(PING)
    assert len(receive(connection, data * 100)) == 200


def test_a_mebibyte_in_65536_fragments() -> None:
    """T4 and T5: as many bytes as allowed, in pieces that are just not tiny."""
    data = frame(BINARY, fin=False) + frame(CONTINUATION, bytes(16), fin=False) * 65536
    found = cost(data)
    assert found.code is None
    assert found.size <= 2 * LIMIT + CONSTANT


def test_a_mebibyte_in_reads_of_one_byte() -> None:
    """T4 and T5."""
    found = cost(frame(TEXT, b"a" * LIMIT)[:-1], read=1)
    assert found.code is None
    assert found.size <= 2 * LIMIT + CONSTANT


def test_a_message_with_many_controls_in_it() -> None:
    """T10: pings that are read take no memory."""
    data = frame(TEXT, b"a", fin=False) + frame(PING, bytes(100)) * 100_000
    assert cost(data).size <= CONSTANT


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_time_grows_with_bytes_not_with_their_square(opcode: int) -> None:
    """T5: half a million fragments and 16 MiB; quadratic work would take hours here."""
    off = Limits(max_message_size=None, max_tiny_fragments=None, max_wire_size=None)
    piece = "€".encode() * 11
    count = 16 * MIB // 33
    connection = connect(limits=off)
    connection.receive_data(frame(opcode, fin=False))
    data = frame(CONTINUATION, piece, fin=False)
    for _ in range(count):
        connection.receive_data(data)
    ((_, payload),) = receive(connection, frame(CONTINUATION))
    assert len(payload) == count * (11 if opcode == TEXT else 33)
