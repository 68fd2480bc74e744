"""RFC 6455 sections 5.4 to 5.6 and 6: messages, fragments, pings and pongs."""

import random

import pytest

from fastws.errors import Disconnected
from fastws.wire import Connection, Opcode, Role, State
from tests.wire.drive import connect, events, every, fails_with, receive, sent
from tests.wire.reference import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
)

ROLES = pytest.mark.parametrize("role", Role)


def key_for(role: Role) -> bytes | None:
    """The masking key of what a connection in this role receives."""
    return KEY if role is Role.SERVER else None


@ROLES
def test_5_6_messages_come_out_as_they_were_sent(role: Role) -> None:
    one, other = connect(role), connect(Role(1 - role))
    one.send_text("text €")
    one.send_text("")
    one.send_binary(b"\x00\xff")
    one.send_binary(b"")
    assert receive(other, one.data_to_send()) == [
        (Opcode.TEXT, "text €"),
        (Opcode.TEXT, ""),
        (Opcode.BINARY, b"\x00\xff"),
        (Opcode.BINARY, b""),
    ]
    assert one.data_to_send() == b""


def test_a_text_that_no_utf8_says_is_not_sent() -> None:
    connection = connect()
    with pytest.raises(UnicodeEncodeError):
        connection.send_text("\ud800")
    assert connection.data_to_send() == b""


@ROLES
def test_5_7_the_examples(role: Role) -> None:
    """5.7: each example, as the role that may receive it."""
    hello = (Opcode.TEXT, "Hello")
    examples: dict[Role, dict[str, list[object]]] = {
        Role.CLIENT: {
            "81 05 48 65 6c 6c 6f": [hello],
            "01 03 48 65 6c 80 02 6c 6f": [hello],
            "89 05 48 65 6c 6c 6f": [(Opcode.PING, b"Hello")],
            "82 7E 0100" + "7f" * 256: [(Opcode.BINARY, b"\x7f" * 256)],
            "82 7F 0000000000010000" + "7f" * 65536: [(Opcode.BINARY, b"\x7f" * 65536)],
        },
        Role.SERVER: {
            "81 85 37 fa 21 3d 7f 9f 4d 51 58": [hello],
            "8a 85 37 fa 21 3d 7f 9f 4d 51 58": [(Opcode.PONG, b"Hello")],
        },
    }
    for data, expected in examples[role].items():
        connection = connect(role)
        connection.observe_control = True
        assert receive(connection, bytes.fromhex(data)) == expected


# 5.4: fragmentation.


@ROLES
@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 100, 999, 1000, 5000])
def test_5_4_fragments_make_one_message(role: Role, size: int) -> None:
    key = key_for(role)
    payload = random.Random(size).randbytes(5000)
    data = frame(BINARY, fin=False, key=key)
    for at in range(0, len(payload), size):
        data += frame(CONTINUATION, payload[at : at + size], fin=False, key=key)
    data += frame(CONTINUATION, key=key) + frame(TEXT, b"next", key=key)
    expected = [(Opcode.BINARY, payload), (Opcode.TEXT, "next")]
    assert receive(connect(role), data) == expected
    assert receive(connect(role), data, every(777, data)) == expected


def test_5_4_fragments_may_be_empty() -> None:
    for payloads in ([b"", b""], [b"a", b"", b"b"], [b"", b"a", b""], [b"", b"", b"a"]):
        for opcode in (TEXT, BINARY):
            data = frame(opcode, payloads[0], fin=False)
            for payload in payloads[1:-1]:
                data += frame(CONTINUATION, payload, fin=False)
            data += frame(CONTINUATION, payloads[-1])
            whole = b"".join(payloads)
            expected = whole.decode() if opcode == TEXT else whole
            assert receive(connect(), data) == [(opcode, expected)]


def test_5_4_control_frames_may_be_inside_a_message() -> None:
    """5.4: they "MAY be injected in the middle of a fragmented message"."""
    connection = connect()
    connection.observe_control = True
    data = frame(TEXT, b"a", fin=False) + frame(PING, b"1") + frame(CONTINUATION, b"b", fin=False)
    assert receive(connection, data) == [(Opcode.PING, b"1")]
    assert [reply.payload for reply in sent(connection)] == [b"1"]
    assert receive(connection, frame(PONG, b"2") + frame(CONTINUATION, b"c")) == [
        (Opcode.PONG, b"2"),
        (Opcode.TEXT, "abc"),
    ]


@pytest.mark.parametrize("fin", [False, True])
def test_5_4_a_continuation_continues_something(fin: bool) -> None:
    assert fails_with(1002, connect(), frame(CONTINUATION, fin=fin))
    connection = connect()
    assert len(receive(connection, frame(TEXT, b"a", fin=False) + frame(CONTINUATION))) == 1
    assert fails_with(1002, connection, frame(CONTINUATION, fin=fin))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [False, True])
def test_5_4_messages_are_not_interleaved(opcode: int, fin: bool) -> None:
    """5.4: "fragments of one message MUST NOT be interleaved between the fragments of another"."""
    connection = connect()
    connection.receive_data(frame(BINARY, b"a", fin=False))
    assert fails_with(1002, connection, frame(opcode, fin=fin))


# 5.5: control frames.


@ROLES
@pytest.mark.parametrize("size", [0, 1, 124, 125])
def test_5_5_2_a_ping_is_answered_with_its_payload(role: Role, size: int) -> None:
    payload = bytes(range(size))
    connection = connect(role)
    assert receive(connection, frame(PING, payload, key=key_for(role))) == []
    (reply,) = sent(connection)
    assert (reply.opcode, reply.payload, reply.fin, reply.rsv) == (PONG, payload, True, 0)
    assert (reply.key is None) == (role is Role.SERVER)
    assert connection.controls == 1


def test_5_5_3_a_pong_needs_no_answer() -> None:
    connection = connect()
    assert receive(connection, frame(PONG, b"x") * 3) == []
    assert connection.data_to_send() == b""
    assert connection.controls == 3


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_5_5_control_frames_are_short_and_whole(opcode: int) -> None:
    """T10, 5.5: "125 bytes or less", and they "MUST NOT be fragmented"."""
    for length in (126, 127, 65535, 65536, (1 << 63) - 1):
        head = frame(opcode, length=length)
        assert fails_with(1002, connect(), head)
    assert fails_with(1002, connect(), frame(opcode, fin=False))


@pytest.mark.parametrize("send", [Connection.send_ping, Connection.send_pong])
def test_5_5_longer_control_frames_are_not_sent(send: object) -> None:
    connection = connect()
    assert callable(send)
    with pytest.raises(ValueError, match="125"):
        send(connection, bytes(126))
    assert connection.data_to_send() == b""
    send(connection, bytes(125))
    assert len(sent(connection)[0].payload) == 125


def test_pings_and_pongs_of_our_own() -> None:
    connection = connect()
    connection.send_ping()
    connection.send_ping(b"a")
    connection.send_pong(b"b")
    assert [(frame.opcode, frame.payload) for frame in sent(connection)] == [
        (PING, b""),
        (PING, b"a"),
        (PONG, b"b"),
    ]


def test_control_frames_in_pieces() -> None:
    for data in (frame(PING, b"ping"), close_frame(1000, b"reason"), frame(PONG, bytes(125))):
        for size in (1, 2, 5):
            connection = connect()
            connection.observe_control = True
            (event,) = receive(connection, data, every(size, data))
            assert event[0] == data[0] & 0x0F


def test_a_flood_of_pongs_and_pings_keeps_nothing() -> None:
    """T10: what is read is forgotten; how many there were is counted, for the rate limit."""
    connection = connect()
    data = frame(PONG, b"x") * 10_000
    for _ in range(10):
        assert receive(connection, data) == []
    assert connection.controls == 100_000
    assert (connection.inbox.count, connection.inbox.size) == (0, 0)


# 6 and 7.1.7: what a fault leaves behind.


def test_messages_before_a_fault_are_delivered() -> None:
    """The close frame waits for them, so that they can still be answered."""
    connection = connect()
    connection.receive_data(frame(TEXT, b"one") + frame(PING, b"two") + frame(3) + frame(TEXT))
    assert connection.state is State.FAILED
    assert connection.next_event() == (Opcode.TEXT, "one")
    connection.send_text("answer")
    assert events(connection) == [(Opcode.CLOSE, (1002, "an opcode is reserved"))]
    assert [reply.payload[:2] for reply in sent(connection)] == [b"tw", b"an", b"\x03\xea"]
    with pytest.raises(Disconnected):
        connection.send_text("too late")


def test_7_1_7_nothing_is_read_after_a_fault() -> None:
    """7.1.7: it "MUST NOT continue to attempt to process data"."""
    connection = connect()
    connection.receive_data(frame(3))
    for data in (frame(TEXT, b"x"), frame(PING), close_frame(1000), b"\xff" * 100):
        connection.receive_data(data)
    assert [event[1][0] for event in events(connection)] == [1002]
    connection.receive_data(frame(TEXT, b"x"))
    assert events(connection) == []
    assert len(sent(connection)) == 1


def test_limits_and_observation_may_change_between_frames() -> None:
    connection = connect()
    connection.receive_data(frame(PING))
    connection.observe_control = True
    connection.receive_data(frame(PING, b"x"))
    connection.raw = True
    connection.receive_data(frame(TEXT, b"x"))
    assert events(connection) == [(Opcode.PING, b"x"), (Opcode.TEXT, b"x")]


def test_many_messages_wait_in_their_order() -> None:
    connection = connect()
    numbers = range(1000)
    connection.receive_data(b"".join(frame(TEXT, b"%d" % number) for number in numbers))
    assert connection.inbox.count == 1000
    assert connection.inbox.size == sum(len(str(number)) for number in numbers)
    taken: list[object] = [connection.next_event() for _ in range(500)]
    assert connection.inbox.size == sum(len(str(number)) for number in numbers[500:])
    connection.receive_data(b"".join(frame(TEXT, b"%d" % number) for number in numbers))
    taken += events(connection)
    assert taken == [(Opcode.TEXT, str(number)) for number in [*numbers, *numbers]]
    assert (connection.inbox.count, connection.inbox.size) == (0, 0)
