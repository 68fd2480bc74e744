"""What stays behind, and whose bytes are in a message (T23)."""

import json
import os
import random
import subprocess
import sys
import threading

import pytest

from fastws.wire import Connection, Opcode, Params, Role
from tests.wire.drive import SHARED, TAKEOVER, connect, events, receive, sent
from tests.wire.memory import ASAN, COUNTED, KIB, MIB, allocated
from tests.wire.reference import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    RSV1,
    TEXT,
    Deflater,
    close_frame,
    frame,
)

# What the collector frees meanwhile would count.
pytestmark = pytest.mark.usefixtures("no_gc")

RUNS = 10_000


@pytest.mark.deep
def test_nothing_is_left_behind() -> None:
    """D: after 10,000 runs of each scenario there is what there was before them.

    And after messages of 40 MiB no buffer of theirs, whether they shrank or not.
    """
    # ASAN would keep what is freed.
    asan_options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0"
    env = {**os.environ, "ASAN_OPTIONS": asan_options}
    argv = [sys.executable, "-m", "tests.wire.leaks", str(RUNS)]
    done = subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    large = [found.pop(f"40 MiB by the {role.name}")[1] for role in Role]
    assert ASAN or max(large) < 10 << 20
    assert len(found) > 60
    # One byte, block or reference in a hundred runs would be too many.
    leaky = {
        name: (blocks, size, drift)
        for name, (blocks, size, drift) in found.items()
        if blocks > RUNS // 100 or size > 1 << 20 or drift > RUNS // 100
    }
    assert leaky == {}


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_message_belongs_to_who_takes_it(kind: type) -> None:
    """References: to a payload nobody else's, in every way that one is made."""
    deflate = Deflater(takeover=False)
    opcode = TEXT if kind is str else BINARY
    for text in ("ascii " * 20, "not ascii € " * 20):
        data = text.encode()
        for wire in (
            frame(opcode, data),
            frame(opcode, data[:9], fin=False) + frame(CONTINUATION, data[9:]),
            frame(opcode, deflate(data), rsv=RSV1),
        ):
            connection = connect(params=SHARED)
            connection.receive_data(wire)
            event = connection.next_event()
            del connection
            assert event is not None
            payload = event[1]
            del event
            assert payload == (text if kind is str else data)
            own = data.decode() if kind is str else bytes(bytearray(data))
            assert sys.getrefcount(payload) == sys.getrefcount(own)


# Memory that a connection gives back while it lives.


@COUNTED
def test_an_inbox_gives_back_what_a_burst_took() -> None:
    """Free the 12 KiB that 500 messages took, once the app has received them."""
    burst = frame(TEXT) * 500
    connections = [connect() for _ in range(100)]
    before = allocated()
    for connection in connections:
        connection.receive_data(burst)
    assert allocated() - before > 100 * 10 * KIB
    for connection in connections:
        assert events(connection) == [(Opcode.TEXT, "")] * 500
    assert allocated() - before < 100 * KIB


SIZE = MIB + 4 * KIB  # a buffer that only doubles takes nearly twice that
HALF_READ = {
    "one frame": (frame(BINARY, bytes(SIZE))[:-1], 1),
    "a last fragment": (
        frame(BINARY, bytes(9), fin=False) + frame(CONTINUATION, bytes(SIZE - 9))[:-1],
        1,
    ),
    "a fragment": (frame(BINARY, bytes(SIZE), fin=False), 2),
    "fragments": (frame(BINARY, fin=False) + frame(0, bytes(KIB), fin=False) * (SIZE // KIB), 2),
}


@COUNTED
@pytest.mark.parametrize("kind", HALF_READ)
def test_a_message_takes_what_has_come_or_twice_that_if_more_may_follow(kind: str) -> None:
    """A last frame needs no room for more, so its message is not rounded up."""
    data, times = HALF_READ[kind]
    connection = connect(max_message_size=4 * SIZE)
    before = allocated()
    assert receive(connection, data, range(32 * KIB, len(data), 32 * KIB)) == []
    assert SIZE <= allocated() - before < times * SIZE + 64 * KIB


@COUNTED
def test_a_message_keeps_no_room_that_it_did_not_need() -> None:
    """The buffer has doubled for fragments that never come: the last one is empty."""
    data = frame(BINARY, bytes(SIZE), fin=False) + frame(CONTINUATION)
    connection = connect(max_message_size=SIZE)
    before = allocated()
    taken = receive(connection, data, range(32 * KIB, len(data), 32 * KIB))
    assert SIZE <= allocated() - before < SIZE + 64 * KIB
    assert taken == [(Opcode.BINARY, bytes(SIZE))]


UNFINISHED = {
    "our close frame": b"",
    "a close frame": close_frame(1000),
    "a bad close frame": frame(CLOSE, b"x"),
    "a reserved opcode": frame(3),
    "a message in a message": frame(TEXT, b"x"),
    "a message over the limit": frame(CONTINUATION, length=8 * MIB),
}


@COUNTED
@pytest.mark.parametrize("end", UNFINISHED)
def test_a_message_that_will_never_be_whole_is_let_go(end: str) -> None:
    """The connection may live on, for its messages and the closing handshake."""
    connection = connect(max_message_size=4 * MIB)
    before = allocated()
    connection.receive_data(frame(BINARY, bytes(2 * MIB), fin=False))
    assert allocated() - before >= 2 * MIB
    if end == "our close frame":
        connection.send_close(1000)
        connection.receive_data(close_frame(1000))
    else:
        connection.receive_data(UNFINISHED[end])
    assert allocated() - before < 64 * KIB


@COUNTED
def test_a_small_compressed_message_makes_no_room_for_the_limit() -> None:
    """The buffer grows with the inflated bytes."""
    connection = connect(params=SHARED, max_message_size=512 * KIB)
    deflate = Deflater(takeover=False)
    # All connections share a buffer; a large message makes it start anew.
    large = connect(params=SHARED, max_message_size=4 * MIB)
    assert len(receive(large, frame(BINARY, deflate(bytes(4 * MIB)), rsv=RSV1))) == 1
    before = allocated()
    assert receive(connection, frame(TEXT, deflate(b"small"), rsv=RSV1)) == [(Opcode.TEXT, "small")]
    assert allocated() - before < 64 * KIB


@COUNTED
@pytest.mark.parametrize("params", [None, SHARED, TAKEOVER], ids=["plain", "shared", "takeover"])
@pytest.mark.parametrize("role", Role)
def test_a_large_message_leaves_no_buffer(role: Role, params: Params | None) -> None:
    """Sender and receiver free their buffers, whether the message shrinks or not."""
    size = 3 * MIB
    one = connect(role, params, max_message_size=size)
    other = connect(Role(1 - role), params, max_message_size=size)
    noise = random.Random(23)

    def send(message: bytes) -> None:
        one.send_binary(message)
        assert receive(other, one.data_to_send()) == [(Opcode.BINARY, message)]

    send(noise.randbytes(999))
    before = allocated()
    send(noise.randbytes(size))
    send(bytes(size))
    # Each direction may keep 1 MiB for the next message of any connection.
    assert allocated() - before <= (0 if params is None else 2 * MIB) + 128 * KIB


def test_what_a_connection_holds_dies_with_it() -> None:
    payload_references = sys.getrefcount(SHARED)
    for _ in range(100):
        connection = connect(params=SHARED)
        connection.receive_data(frame(TEXT, b"a", fin=False) + frame(PING, b"p"))
    del connection
    assert sys.getrefcount(SHARED) == payload_references


def canary(number: int, size: int) -> bytes:
    """Bytes that belong to one connection."""
    return bytes((number,)) * size


@pytest.mark.parametrize("params", [None, SHARED, TAKEOVER], ids=["plain", "shared", "takeover"])
def test_no_bytes_of_others(params: Params | None) -> None:
    """T23: connections that send, close and are dropped in the middle of messages, at random.

    Each has bytes of its own: a message with any other is foreign, or was never written.
    """
    rng = random.Random(23)
    pairs: dict[int, tuple[Connection, Connection]] = {}
    for _ in range(3000):
        number = rng.randrange(1, 100)
        if number not in pairs or rng.random() < 0.1:
            pairs[number] = (connect(Role.SERVER, params), connect(Role.CLIENT, params))
        server, client = pairs[number]
        own = canary(number, rng.choice([0, 1, 100, 700, 5000, 70_000]))
        size = rng.randrange(1, 200)
        # Left unfinished: a frame, a control frame, and a message in fragments.
        if rng.random() < 0.1:
            server.receive_data(frame(BINARY, own, length=len(own) + 1))
            del pairs[number]
        elif rng.random() < 0.1:
            server.receive_data(frame(PING, own[:100], length=125))
            assert sent(server) == []
            del pairs[number]
        elif rng.random() < 0.1:
            client.send_close(1000, "x" * size)
            assert len(receive(server, client.data_to_send())) == 1
            assert sent(server)[0].payload == b"\x03\xe8"
            del pairs[number]
        elif rng.random() < 0.3:
            data = frame(BINARY, own, fin=False) + frame(CONTINUATION, canary(number, size))
            assert receive(server, data, [len(data) // 2]) == [
                (Opcode.BINARY, canary(number, len(own) + size))
            ]
        else:
            one, other = (server, client) if rng.random() < 0.5 else (client, server)
            one.send_binary(own)
            one.send_ping(canary(number, 9))
            other.receive_data(one.data_to_send())
            assert events(other) == [(Opcode.BINARY, own)]
            assert [reply.payload for reply in sent(other)] == [canary(number, 9)]


def test_no_bytes_of_other_threads() -> None:
    """T23: what is shared by all connections is used by one at a time, in whatever threads."""
    wrong: list[object] = []

    def talk(number: int) -> None:
        client, server = connect(Role.CLIENT, SHARED), connect(Role.SERVER, SHARED)
        for turn in range(30_000):
            message = canary(number, 300 + turn % 1000)
            client.send_binary(message)
            found = receive(server, client.data_to_send())
            if wrong or found != [(Opcode.BINARY, message)]:
                wrong.append((number, turn))
                return

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
