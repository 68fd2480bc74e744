"""What has to hold for any bytes at all: the fuzzers and `test_corpus.py` try to break it.

Each check raises AssertionError, or whatever escapes from fastws.
"""

import base64
from contextlib import suppress
from typing import NamedTuple

from websockets.http11 import Request
from websockets.streams import StreamReader

from fastws.errors import HandshakeError
from fastws.limits import Limits
from fastws.wire import Connection, Deflate, Params, Role
from fastws.wire.deflate import accepted, negotiate, parse_extensions
from fastws.wire.frames import apply_mask, is_utf8
from fastws.wire.handshake import (
    UpgradeRequest,
    accept_response,
    find_head,
    parse_request,
    refusal,
)
from tests.wire import reference
from tests.wire.drive import SHARED, TAKEOVER, connect, every, outcome
from tests.wire.model import Outcome, Window, expected
from tests.wire.reference import BINARY, TEXT

MAX_HEADERS = 128
SMALL = Params(server_takeover=True, client_takeover=True, server_bits=9, client_bits=9)
PARAMS = (None, SHARED, TAKEOVER, SMALL)
LIMITS = (
    Limits(),
    Limits(max_message_size=100, max_tiny_fragments=2),
    Limits(max_frame_size=20, max_wire_size=60),
    Limits(max_message_size=None, max_frame_size=None, max_wire_size=None),
)


class Setting(NamedTuple):
    """What the first two bytes of an input choose."""

    role: Role
    raw: bool
    params: Params | None
    limits: Limits
    chunk: int

    def connection(self) -> Connection:
        connection = connect(self.role, self.params, limits=self.limits)
        connection.raw = self.raw
        return connection

    def window(self) -> Window | None:
        if self.params is None:
            return None
        return Window(takeover=self.params.client_takeover, bits=self.params.client_bits)

    def encode(self) -> bytes:
        """The bytes that choose it."""
        how = self.role | self.raw << 1
        how |= PARAMS.index(self.params) << 2 | LIMITS.index(self.limits) << 4
        return bytes((how, self.chunk))


def setting(how: int, chunk: int) -> Setting:
    return Setting(Role(how & 1), bool(how & 2), PARAMS[how >> 2 & 3], LIMITS[how >> 4 & 3], chunk)


def check_connection(data: bytes) -> None:
    """Frames: as the model has them, however they are cut, and the same when they are echoed."""
    if len(data) < 2:
        return
    chosen, stream = setting(data[0], data[1]), data[2:]
    found = outcome(chosen.connection(), stream)
    pieces = every(chosen.chunk or 1, stream)
    assert outcome(chosen.connection(), stream, pieces) == found, "cut otherwise"
    want, features = expected(
        stream, server=chosen.role is Role.SERVER, limits=chosen.limits, window=chosen.window()
    )
    if found != want:
        # zlib may meet a corrupt code and the limit in the same step.
        assert features & {"corrupt deflate", "bomb"}, (found, want, features)
        assert found.events == want.events
        assert {found.close, want.close} == {1007, 1009}
    check_echo(chosen, found)
    cut = min(chosen.chunk, len(stream))
    assert is_utf8(stream[:cut], stream[cut:]) == reference.is_utf8(stream)
    key = stream[:4].ljust(4, b"k")
    assert apply_mask(stream[cut:], key) == reference.mask(stream[cut:], key)


def check_echo(chosen: Setting, found: Outcome) -> None:
    """What came in goes out, and comes in again on the other side."""
    messages = [event for event in found.events if event[0] in {TEXT, BINARY}]
    sender = chosen.connection()
    for opcode, payload in messages:
        if opcode == TEXT:
            sender.send_text(payload.decode())
        else:
            sender.send_binary(payload)
    other = connect(Role(1 - chosen.role), chosen.params, max_message_size=None)
    assert outcome(other, sender.data_to_send()).events == messages


def check_handshake(data: bytes) -> None:
    """A request head: refused, or an upgrade in the eyes of another parser as well."""
    size = find_head(data)
    assert size == search_by_byte(data)
    if size <= 0:
        return
    head = data[:size]
    try:
        request = parse_request(head, MAX_HEADERS)
    except HandshakeError as error:
        check_refusal(error)
    else:
        check_request(head, request)


def check_refusal(error: HandshakeError) -> None:
    assert error.status in {400, 405, 426, 431, 505}
    response = refusal(error, [])
    assert response.count(b"\r\n\r\n") == 1
    assert b"\r\nconnection: close\r\n" in response


def search_by_byte(data: bytes) -> int:
    """Looks for the end of a head as it comes, a byte at a time."""
    end = data.find(b"\r\n\r\n")
    for have in range(1, len(data) + 1 if end < 0 else end + 4):
        assert find_head(data[:have], max(0, have - 4)) == 0
    return 0 if end < 0 else find_head(data[: end + 4], end)


def check_request(head: bytes, request: UpgradeRequest) -> None:
    assert len(base64.b64decode(request.key, validate=True)) == 16
    assert request.target.startswith(b"/")
    names = [name for name, _ in request.headers]
    for once in (b"host", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"):
        assert names.count(once) == 1
    assert b"transfer-encoding" not in names
    assert all(value == b"0" for name, value in request.headers if name == b"content-length")
    # What was received can be sent, and so can each subprotocol.
    accept_response(request.key, request.headers)
    for name in request.subprotocols:
        accept_response(request.key, [(b"sec-websocket-protocol", name.encode("ascii"))])
    check_extensions(request.extensions)
    if max(map(len, head.split(b"\r\n"))) < 8192:
        check_parsed(head, request)


def check_parsed(head: bytes, request: UpgradeRequest) -> None:
    """The parser of `websockets` finds the same."""
    reader = StreamReader()
    reader.feed_data(head)
    parser = Request.parse(reader.read_line)
    try:
        next(parser)
        raise AssertionError("unfinished")
    except StopIteration as done:
        parsed: Request = done.value
    items = [(n.lower().encode(), v.encode("latin-1")) for n, v in parsed.headers.raw_items()]
    assert items == request.headers
    assert parsed.path.encode().endswith(request.target)


def check_extensions(header: bytes) -> None:
    """A Sec-WebSocket-Extensions header: declined, or answered with what its grammar allows."""
    with suppress(ValueError):
        parse_extensions(header)
    for options in (Deflate(), Deflate(context_takeover=True, window_bits=11)):
        found = negotiate(header, options)
        if found is not None:
            params, response = found
            assert 9 <= min(params[2:]) <= max(params[2:]) <= 15
            ((name, _),) = parse_extensions(response)
            assert name == b"permessage-deflate"
            assert not (params.server_takeover or params.client_takeover) or (
                options.context_takeover
            )
        with suppress(HandshakeError):
            accepted(header, options)
