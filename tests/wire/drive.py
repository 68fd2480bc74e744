"""Makes connections and drives them with bytes."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastws.limits import Limits
from fastws.wire import Compression, Connection, Deflate, Opcode, Params, Role, State
from tests.wire.model import Outcome
from tests.wire.reference import CLOSE, PONG, Frame, frames

Event = tuple[Opcode, Any]

SHARED = Params(server_takeover=False, client_takeover=False, server_bits=15, client_bits=15)
TAKEOVER = Params(server_takeover=True, client_takeover=True, server_bits=15, client_bits=15)


def connect(
    role: Role = Role.SERVER,
    params: Params | None = None,
    options: Deflate | None = None,
    limits: Limits | None = None,
    **changes: Any,
) -> Connection:
    """Makes an open connection: `connect(Role.CLIENT, SHARED, max_message_size=10)`."""
    limits = (limits or Limits()).replace(**changes)
    compression = None
    if params is not None:
        compression = Compression(params, options or Deflate(threshold=0), role is Role.SERVER)
    return Connection(role, limits, compression)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Cuts bytes at ascending places."""
    at = 0
    for cut in cuts:
        yield data[at:cut]
        at = cut
    yield data[at:]


def every(size: int, data: bytes) -> range:
    """The places that cut data into pieces of one size."""
    return range(size, len(data), size)


def events(connection: Connection) -> list[Event]:
    """Takes all events that wait."""
    return list(iter(connection.next_event, None))


def receive(connection: Connection, data: bytes, cuts: Iterable[int] = ()) -> list[Event]:
    """Feeds bytes, cut in pieces; gives the events that came of it."""
    for piece in pieces(data, cuts):
        connection.receive_data(piece)
    return events(connection)


def sent(connection: Connection) -> list[Frame]:
    """Takes what is to be sent, and reads it the slow way."""
    return list(frames(connection.data_to_send()))


def close_code(closing: Frame) -> int:
    """Reads the code of a close frame; 1005 if it has none."""
    assert closing.opcode == CLOSE
    return int.from_bytes(closing.payload[:2], "big") if closing.payload else 1005


def fails_with(code: int, connection: Connection, data: bytes) -> bool:
    """Tells whether bytes fail the connection, and none of them before the last."""
    if receive(connection, data[:-1]):
        raise AssertionError("something happened before the last byte")
    connection.receive_data(data[-1:])
    if connection.state is not State.FAILED:
        return False
    last = events(connection)[-1]
    assert last == (Opcode.CLOSE, (code, connection.close_reason)), last
    return close_code(sent(connection)[-1]) == code


def outcome(connection: Connection, data: bytes, cuts: Iterable[int] = ()) -> Outcome:
    """Feeds bytes to a new connection; checks what always holds; gives what came of it."""
    connection.observe_control = True
    found = receive(connection, data, cuts)
    replies = sent(connection)
    closed = [payload for opcode, payload in found if opcode is Opcode.CLOSE]
    assert (connection.state is State.OPEN) == (not closed)
    close = None
    if closed:
        assert found.pop() == (Opcode.CLOSE, closed[0]), "an event after CLOSE"
        assert closed == [(connection.close_code, connection.close_reason)]
        assert connection.state is State.CLOSED
        close = close_code(replies.pop())
        assert close == connection.close_code
    pings = [payload for opcode, payload in found if opcode is Opcode.PING]
    assert [(reply.opcode, reply.payload) for reply in replies] == [(PONG, ping) for ping in pings]
    assert (connection.inbox.count, connection.inbox.size) == (0, 0)
    return Outcome([(int(opcode), encoded(payload)) for opcode, payload in found], close)


def encoded(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload
