"""RFC 6455 section 4.2.2: the response that opens a WebSocket, and those that refuse."""

from collections.abc import Callable
from functools import partial

import pytest
from websockets.http11 import Response
from websockets.streams import StreamReader

from fastws.errors import HandshakeError
from fastws.wire.handshake import accept_key, accept_response, http_response, refusal
from tests.wire.requests import KEY

Build = Callable[[list[tuple[bytes, bytes]]], bytes]
BUILDERS: list[Build] = [partial(accept_response, KEY), partial(http_response, 403)]


def parsed(response: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Reads a response with another library."""
    reader = StreamReader()
    reader.feed_data(response)
    reader.feed_eof()
    parser = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof)
    try:
        next(parser)
    except StopIteration as done:
        found = done.value
        return found.status_code, list(found.headers.raw_items()), bytes(found.body or b"")
    raise AssertionError("an unfinished response")


def test_4_2_2_the_example() -> None:
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_4_2_2_the_response() -> None:
    response = accept_response(KEY, [(b"sec-websocket-protocol", b"chat"), (b"X-Caf", b"caf\xe9")])
    assert response == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"upgrade: websocket\r\n"
        b"connection: Upgrade\r\n"
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"sec-websocket-protocol: chat\r\n"
        b"X-Caf: caf\xe9\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize(
    ("status", "phrase"), [(200, "OK"), (403, "Forbidden"), (431, "Request"), (599, "")]
)
def test_any_status_may_refuse_and_always_closes(status: int, phrase: str) -> None:
    """T22."""
    response = http_response(status, [(b"x", b"y"), (b"content-length", b"0")])
    assert response.startswith(f"HTTP/1.1 {status} {phrase}".encode())
    assert response.count(b"\r\n\r\n") == 1
    found, headers, _ = parsed(response)
    assert (found, headers[:2]) == (status, [("connection", "close"), ("x", "y")])


def test_a_refusal_is_a_whole_response() -> None:
    error = HandshakeError(426, "this server speaks version 13 € only", ((b"upgrade", b"h2c"),))
    status, headers, body = parsed(refusal(error, [(b"server", b"fastws")]))
    assert (status, body.decode()) == (426, "this server speaks version 13 € only")
    assert dict(headers) == {
        "connection": "close",
        "server": "fastws",
        "upgrade": "h2c",
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
    }


@pytest.mark.parametrize("byte", range(256))
def test_headers_of_an_app_cannot_inject_others(byte: int) -> None:
    """T20: names are tokens, and values have no control characters but tabs."""
    token = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for build in BUILDERS:
        name, value = b"a%cb" % byte, b"a%cb" % byte
        if byte in token:
            assert name + b": v\r\n" in build([(name, b"v")])
        else:
            with pytest.raises(ValueError, match="name is malformed"):
                build([(name, b"v")])
        if (byte < 32 and byte != 9) or byte == 127:
            with pytest.raises(ValueError, match="control character"):
                build([(b"n", value)])
        else:
            assert b"n: " + value + b"\r\n" in build([(b"n", value)])


@pytest.mark.parametrize(
    "header", [(b"", b"v"), (b"n", b"v\r\nX: y"), (b"n\n", b""), (b"host", b"\0"), (b"n:", b"")]
)
def test_headers_that_are_refused(header: tuple[bytes, bytes]) -> None:
    for build in BUILDERS:
        with pytest.raises(ValueError, match=r"malformed|control"):
            build([(b"ok", b"ok"), header])
