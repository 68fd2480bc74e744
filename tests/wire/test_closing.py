"""RFC 6455 sections 5.5.1, 7 and 8.1: the closing handshake and its codes."""

import pytest

from fastws.errors import Disconnected
from fastws.wire import Opcode, Role, State
from tests.wire.drive import SHARED, close_code, connect, events, receive, sent
from tests.wire.model import may_be_sent
from tests.wire.reference import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    RSV1,
    TEXT,
    Deflater,
    close_frame,
    frame,
)


def test_7_4_every_code_that_may_be_sent_is_accepted_and_no_other() -> None:
    """T12: all 65,536 of them."""
    for code in range(65536):
        connection = connect()
        (event,) = receive(connection, close_frame(code, b"why"))
        (reply,) = sent(connection)
        if may_be_sent(code):
            assert event == (Opcode.CLOSE, (code, "why"))
            assert close_code(reply) == code
            assert connection.close_received
        else:
            assert event == (Opcode.CLOSE, (1002, "a close code may not be sent"))
            assert close_code(reply) == 1002
            assert not connection.close_received


def test_7_4_the_codes_in_words() -> None:
    """T12: 1000-1003, 1007-1014 (IANA), 3000-4999."""
    allowed = [code for code in range(65536) if may_be_sent(code)]
    assert allowed == [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]


def test_7_4_we_send_no_other_code_either() -> None:
    for code in range(-1, 6000):
        connection = connect()
        if code == 1005 or may_be_sent(code):
            connection.send_close(code)
            assert close_code(sent(connection)[0]) == code
        else:
            with pytest.raises(ValueError, match="close code"):
                connection.send_close(code)
            assert connection.state is State.OPEN
            assert connection.data_to_send() == b""


def test_7_4_1_no_code_is_1005() -> None:
    """7.1.5: without a status code, the close code "is considered to be 1005"."""
    connection = connect()
    assert receive(connection, close_frame(None)) == [(Opcode.CLOSE, (1005, ""))]
    assert [reply.payload for reply in sent(connection)] == [b""]


def test_5_5_1_a_code_has_two_bytes() -> None:
    assert receive(connect(), frame(CLOSE, b"\x03"))[0][1][0] == 1002
    connection = connect()
    assert receive(connection, frame(CLOSE, b"\x03\xe8")) == [(Opcode.CLOSE, (1000, ""))]


@pytest.mark.parametrize(
    "reason", [b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\x80", b"ok\xf4\x90\x80\x80"]
)
def test_5_5_1_a_reason_is_utf8(reason: bytes) -> None:
    """T9."""
    connection = connect()
    assert receive(connection, close_frame(1000, reason))[0][1][0] == 1007
    assert close_code(sent(connection)[0]) == 1007


@pytest.mark.parametrize("role", Role)
def test_5_5_1_a_close_frame_is_answered_with_its_code(role: Role) -> None:
    """5.5.1: "it typically echos the status code it received"."""
    connection = connect(role)
    data = close_frame(4321, b"because", key=KEY if role is Role.SERVER else None)
    connection.receive_data(data)
    assert connection.state is State.CLOSE_RECEIVED
    assert connection.data_to_send() == b""
    assert events(connection) == [(Opcode.CLOSE, (4321, "because"))]
    (reply,) = sent(connection)
    assert (reply.opcode, reply.payload) == (CLOSE, b"\x10\xe1")
    assert (connection.state, connection.close_code) == (State.CLOSED, 4321)
    assert connection.close_reason == "because"
    assert events(connection) == []


def test_a_connection_that_is_open_has_no_code() -> None:
    connection = connect()
    assert (connection.close_code, connection.close_reason) == (0, "")
    assert not connection.close_received


@pytest.mark.parametrize("role", Role)
def test_7_1_2_we_begin_and_the_peer_answers(role: Role) -> None:
    one, other = connect(role), connect(Role(1 - role))
    one.send_close(4000, "bye")
    assert one.state is State.CLOSE_SENT
    assert events(one) == []
    assert receive(other, one.data_to_send()) == [(Opcode.CLOSE, (4000, "bye"))]
    assert receive(one, other.data_to_send()) == [(Opcode.CLOSE, (4000, "bye"))]
    assert one.state is other.state is State.CLOSED
    assert one.close_received
    assert one.data_to_send() == other.data_to_send() == b""


def test_7_1_2_both_begin_at_once() -> None:
    server, client = connect(Role.SERVER), connect(Role.CLIENT)
    server.send_close(1001)
    client.send_close(1000)
    assert len(receive(server, client.data_to_send())) == 1
    assert len(receive(client, server.data_to_send())) == 1
    assert server.state is client.state is State.CLOSED
    assert server.data_to_send() == client.data_to_send() == b""


def test_5_5_1_nothing_is_sent_after_a_close_frame() -> None:
    connection = connect()
    connection.send_close()
    connection.send_close(1001)
    for send in (
        lambda: connection.send_text("x"),
        lambda: connection.send_binary(b"x"),
        lambda: connection.send_ping(b"x"),
        lambda: connection.send_pong(b"x"),
    ):
        with pytest.raises(Disconnected) as caught:
            send()  # type: ignore[no-untyped-call]
        assert (caught.value.code, caught.value.clean) == (1000, False)
    connection.receive_data(frame(PING, b"x"))
    assert [closing.opcode for closing in sent(connection)] == [CLOSE]


def test_messages_that_come_after_our_close_frame_are_dropped() -> None:
    """They are still read, for the close frame behind them."""
    connection = connect()
    connection.receive_data(frame(TEXT, b"before"))
    connection.send_close(1000, "bye")
    data = frame(TEXT, b"a") + frame(TEXT, b"b", fin=False) + frame(PING) + frame(CONTINUATION)
    connection.receive_data(data + close_frame(3000))
    assert events(connection) == [(Opcode.TEXT, "before"), (Opcode.CLOSE, (1000, "bye"))]
    assert len(sent(connection)) == 1


LATE = {
    "text": frame(TEXT, b"late"),
    "binary": frame(BINARY, b"late"),
    "compressed": frame(TEXT, Deflater(takeover=False)(b"late"), rsv=RSV1),
    "fragments": frame(TEXT, b"la", fin=False) + frame(CONTINUATION, b"te"),
    "ping": frame(PING, b"late"),
    "pong": frame(PONG, b"late"),
}


@pytest.mark.parametrize("kind", LATE)
def test_whatever_comes_after_our_close_frame_is_neither_delivered_nor_answered(kind: str) -> None:
    """Drop frames in one read and in two, and pings that the app asked to observe."""
    data = LATE[kind]
    for cuts in ([], [3]):
        connection = connect(params=SHARED)
        connection.observe_control = True
        assert len(receive(connection, data, cuts)) == 1
        connection.send_close(1000)
        connection.data_to_send()
        assert receive(connection, data, cuts) == []
        assert connection.inbox.count == 0
        assert connection.data_to_send() == b""
        assert receive(connection, close_frame(1000)) == [(Opcode.CLOSE, (1000, ""))]


@pytest.mark.parametrize(
    "fault", [frame(3), frame(TEXT, b"\xff"), close_frame(1005), frame(TEXT, length=1 << 40)]
)
def test_a_fault_after_our_close_frame_ends_it_without_another(fault: bytes) -> None:
    connection = connect()
    connection.send_close(1000)
    connection.receive_data(fault)
    assert connection.state is State.CLOSED
    assert not connection.close_received
    assert events(connection) == [(Opcode.CLOSE, (1000, ""))]
    assert len(sent(connection)) == 1


def test_a_close_frame_inside_a_message_is_answered() -> None:
    """T12: the message is dropped, the handshake is clean."""
    connection = connect()
    data = frame(TEXT, b"half", fin=False) + close_frame(1001) + frame(CONTINUATION, b"x")
    assert receive(connection, data) == [(Opcode.CLOSE, (1001, ""))]
    assert close_code(sent(connection)[0]) == 1001


def test_1_4_what_comes_after_a_close_frame_is_discarded() -> None:
    """1.4: "after receiving" it, "a peer discards any further data received"."""
    connection = connect()
    connection.receive_data(close_frame(1000) + frame(TEXT, b"x") + frame(PING) + b"\xff" * 100)
    connection.receive_data(frame(PING))
    assert events(connection) == [(Opcode.CLOSE, (1000, ""))]
    connection.receive_data(close_frame(1001))
    assert events(connection) == []
    assert len(sent(connection)) == 1


def test_messages_may_still_be_sent_until_a_close_frame_is_answered() -> None:
    """5.5.1: "An endpoint MAY delay sending a Close frame until its current message is sent"."""
    connection = connect()
    connection.receive_data(close_frame(4000, b"peer"))
    connection.send_text("last words")
    connection.send_close(1000, "ours comes too late")
    assert [closing.payload for closing in sent(connection)] == [b"last words", b"\x0f\xa0"]
    assert events(connection) == [(Opcode.CLOSE, (4000, "peer"))]
    with pytest.raises(Disconnected) as caught:
        connection.send_text("too late")
    assert (caught.value.code, caught.value.reason, caught.value.clean) == (4000, "peer", True)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("x" * 123, b"x" * 123),
        ("x" * 124, b"x" * 123),
        ("x" * 122 + "é", b"x" * 122),
        ("€" * 100, "€".encode() * 41),
        ("😀" * 100, "😀".encode() * 30),
        ("a" + "😀" * 100, b"a" + "😀".encode() * 30),
    ],
)
def test_5_5_a_reason_is_cut_between_two_characters(reason: str, expected: bytes) -> None:
    connection = connect()
    connection.send_close(1000, reason)
    (closing,) = sent(connection)
    assert closing.payload == b"\x03\xe8" + expected


def test_a_reason_that_no_utf8_says_is_refused() -> None:
    connection = connect()
    with pytest.raises(UnicodeEncodeError):
        connection.send_close(1000, "\udfff")
    assert connection.state is State.OPEN


@pytest.mark.parametrize("reason", ["", "x" * 123, "😀"])
def test_no_code_goes_without_a_reason(reason: str) -> None:
    connection = connect()
    connection.send_close(1005, reason)
    assert [closing.payload for closing in sent(connection)] == [b""]
