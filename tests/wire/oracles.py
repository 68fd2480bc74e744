"""Two independent implementations, made to say what became of bytes in the words of `Outcome`."""

from collections.abc import Iterable
from itertools import chain

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from tests.wire.drive import pieces
from tests.wire.model import Outcome
from tests.wire.reference import TEXT, frames, is_utf8

# The limit of a message; wsproto has none.
MAX_SIZE = 70_000


def by_websockets(
    data: bytes, cuts: Iterable[int] = (), *, server: bool = True, takeover: bool | None = None
) -> Outcome:
    """What `websockets` makes of it; texts are decoded as its higher layer does, at their end."""
    side = Side.SERVER if server else Side.CLIENT
    protocol = Protocol(side, state=OPEN, max_size=MAX_SIZE)
    if takeover is not None:
        protocol.extensions = [PerMessageDeflate(not takeover, not takeover, 15, 15)]
    for piece in pieces(data, cuts):
        protocol.receive_data(piece)
    found = [event for event in protocol.events_received() if isinstance(event, Frame)]
    outcome = gather(found)
    replies = list(frames(b"".join(protocol.data_to_send())))
    if outcome.close is None and protocol.close_sent is not None:
        assert replies[-1].opcode == Opcode.CLOSE
        return outcome._replace(close=protocol.close_sent.code)
    return outcome


def gather(found: Iterable[Frame]) -> Outcome:
    events: list[tuple[int, bytes]] = []
    opcode, message = 0, b""
    for event in found:
        if event.opcode in {Opcode.PING, Opcode.PONG}:
            events.append((int(event.opcode), bytes(event.data)))
        elif event.opcode is not Opcode.CLOSE:
            opcode = int(event.opcode) or opcode
            message += bytes(event.data)
            if event.fin:
                if opcode == TEXT and not is_utf8(message):
                    return Outcome(events, 1007)
                events.append((opcode, message))
                message = b""
    return Outcome(events)


def by_wsproto(
    data: bytes, cuts: Iterable[int] = (), *, server: bool = True, takeover: bool | None = None
) -> Outcome:
    """What `wsproto` makes of it."""
    kind = ConnectionType.SERVER if server else ConnectionType.CLIENT
    extensions: list[Extension] = []
    if takeover is not None:
        extension = WsprotoDeflate(
            client_no_context_takeover=not takeover, server_no_context_takeover=not takeover
        )
        extension._enabled = True
        extensions.append(extension)
    connection = Connection(kind, extensions)
    events: list[tuple[int, bytes]] = []
    message = b""
    for piece in pieces(data, chain(cuts)):
        connection.receive_data(piece)
        for event in connection.events():
            if isinstance(event, CloseConnection):
                return Outcome(events, int(event.code))
            if isinstance(event, Ping | Pong):
                opcode = Opcode.PING if isinstance(event, Ping) else Opcode.PONG
                events.append((int(opcode), bytes(event.payload)))
            elif isinstance(event, TextMessage | BytesMessage):
                part = event.data
                message += part.encode() if isinstance(part, str) else bytes(part)
                if event.message_finished:
                    events.append((1 if isinstance(event, TextMessage) else 2, message))
                    message = b""
    return Outcome(events)
