"""The client's half of the handshake, without I/O."""

from base64 import b64decode

import pytest

from fastws.errors import HandshakeError
from fastws.limits import Limits
from fastws.wire.deflate import Deflate, Params
from fastws.wire.handshake import accept_key, parse_request
from fastws.wire.opening import Agreement, Header, Headers, Opening, parse_uri


def opening(
    uri: str = "ws://host/",
    *,
    headers: Headers | None = None,
    subprotocols: tuple[str, ...] = (),
    deflate: Deflate | None = None,
    limits: Limits | None = None,
) -> Opening:
    return Opening(parse_uri(uri), headers, subprotocols, deflate, limits or Limits())


def key_of(handshake: Opening) -> bytes:
    return parse_request(handshake.request, 100).key


def answer(handshake: Opening, *changes: Header) -> bytes:
    """Builds a 101 response; a change without a value takes a header away, others add one."""
    headers = [
        (b"Upgrade", b"WebSocket"),
        (b"Connection", b"keep-alive, upgrade"),
        (b"Sec-WebSocket-Accept", accept_key(key_of(handshake))),
    ]
    gone = {name for name, value in changes if not value}
    headers = [header for header in headers if header[0] not in gone]
    headers += [change for change in changes if change[1]]
    lines = [b": ".join(header) for header in headers]
    return b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *lines, b"", b""])


# The URI.


@pytest.mark.parametrize(
    ("uri", "host", "port", "secure", "authority", "target"),
    [
        ("ws://example.com", "example.com", 80, False, b"example.com", b"/"),
        ("WSS://Example.com/a%20b", "example.com", 443, True, b"example.com", b"/a%20b"),
        ("ws://h:8080/chat?a=1&b=2", "h", 8080, False, b"h:8080", b"/chat?a=1&b=2"),
        ("ws://h?a=1", "h", 80, False, b"h", b"/?a=1"),
        ("ws://h:80/", "h", 80, False, b"h", b"/"),
        ("wss://h:80/", "h", 80, True, b"h:80", b"/"),
        ("ws://[::1]/", "::1", 80, False, b"[::1]", b"/"),
        ("wss://[2001:db8::1]:8443/", "2001:db8::1", 8443, True, b"[2001:db8::1]:8443", b"/"),
    ],
)
def test_a_uri_is_taken_apart(
    uri: str, host: str, port: int, secure: bool, authority: bytes, target: bytes
) -> None:
    assert parse_uri(uri) == (host, port, secure, authority, target)


@pytest.mark.parametrize(
    "uri",
    [
        "http://host/",
        "host/path",
        "ws:///path",
        "ws://",
        "ws://host:99999/",
        "ws://host:port/",
        "ws://host/#fragment",
        "ws://host/#",
        "ws://user:secret@host/",
        "ws://host/a b",
        "ws://host/\r\nx: y",
        "ws://host/gr\xfc\xdfe",
        "ws://[::1/",
        "",
    ],
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"UR[IL]|[Pp]ort") as caught:
        parse_uri(uri)
    assert "secret" not in str(caught.value)


# The request.


def test_the_request_is_one_that_a_server_takes() -> None:
    request = parse_request(
        opening("ws://host:81/a?b=c", headers={"Origin": "http://o", "X-A": "caf\xe9"}).request,
        100,
    )
    assert request.target == b"/a?b=c"
    assert (b"host", b"host:81") in request.headers
    assert (b"origin", b"http://o") in request.headers
    assert (b"x-a", b"caf\xe9") in request.headers
    assert request.extensions == b""
    assert request.subprotocols == []


def test_every_key_is_another_one_of_16_bytes() -> None:
    keys = {b64decode(key_of(opening())) for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {16}


def test_offers_are_made() -> None:
    request = parse_request(opening(subprotocols=("b", "a"), deflate=Deflate()).request, 100)
    assert request.subprotocols == ["b", "a"]
    assert request.extensions.startswith(b"permessage-deflate")


def test_a_host_header_replaces_the_one_from_the_uri() -> None:
    request = parse_request(opening(headers=[(b"host", "other")]).request, 100)
    assert [value for name, value in request.headers if name == b"host"] == [b"other"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-C: d"},
        {"X-A": "b\n"},
        {"X-A\r\n": "b"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": "\0"},
        {"X-A": "\u20ac"},
        {"Upgrade": "h2c"},
        {"connection": "close"},
        {"Content-Length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"SEC-WebSocket-Key": "x"},
        [(b"sec-websocket-protocol", b"x")],
    ],
)
def test_headers_that_would_break_the_request_are_refused(headers: Headers) -> None:
    with pytest.raises(ValueError, match=r"header|codec"):
        opening(headers=headers)


@pytest.mark.parametrize("subprotocols", [("a b",), ("",), ("a,b",), ("a", "a"), ("a\r\nb",)])
def test_subprotocols_are_distinct_tokens(subprotocols: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        opening(subprotocols=subprotocols)


def test_subprotocols_are_no_string() -> None:
    with pytest.raises(TypeError, match="sequence"):
        opening(subprotocols="chat")  # type: ignore[arg-type]


# The response.


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_a_response_is_taken_in_pieces_of_any_size(size: int) -> None:
    handshake = opening(subprotocols=("a", "b"), deflate=Deflate())
    data = answer(
        handshake,
        (b"Sec-WebSocket-Protocol", b"b"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate; server_no_context_takeover"),
    )
    results = [handshake.receive(data[at : at + size]) for at in range(0, len(data), size)]
    agreement = results.pop()
    assert set(results) <= {None}
    assert agreement is not None
    assert agreement.subprotocol == "b"
    assert agreement.params == Params(False, False, 15, 15)
    assert agreement.rest == b""
    assert (b"connection", b"keep-alive, upgrade") in agreement.headers


def agree(handshake: Opening, data: bytes) -> Agreement:
    agreement = handshake.receive(data)
    assert agreement is not None
    return agreement


def test_what_comes_behind_the_response_is_kept() -> None:
    handshake = opening()
    assert agree(handshake, answer(handshake) + b"\x81\x00").rest == b"\x81\x00"


def test_nothing_need_be_agreed_on() -> None:
    handshake = opening(subprotocols=("a",), deflate=Deflate())
    agreement = agree(handshake, answer(handshake))
    assert agreement.subprotocol is None
    assert agreement.params is None


def test_informational_responses_are_passed_over() -> None:
    handshake = opening()
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    assert agree(handshake, hints + hints + answer(handshake) + b"rest").rest == b"rest"
    handshake = opening()
    long = hints[:-2] + b"link: </%s>\r\n\r\n" % (b"y" * 1000)
    assert handshake.receive(long[:-1]) is None
    assert agree(handshake, long[-1:] + answer(handshake)).rest == b""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([(b"Upgrade", b"")], "Upgrade"),
        ([(b"Upgrade", b""), (b"Upgrade", b"h2c")], "Upgrade"),
        ([(b"Upgrade", b"websocket")], "Upgrade"),
        ([(b"Connection", b"")], "Connection"),
        ([(b"Connection", b""), (b"Connection", b"close, upgraded")], "Connection"),
        ([(b"Sec-WebSocket-Accept", b"")], "Sec-WebSocket-Accept"),
        ([(b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")], "Sec-WebSocket-Accept"),
        ([(b"Sec-WebSocket-Protocol", b"c")], "subprotocol"),
        ([(b"Sec-WebSocket-Protocol", b"a, b")], "subprotocol"),
        ([(b"Sec-WebSocket-Protocol", b"a"), (b"sec-websocket-protocol", b"a")], "subprotocol"),
        ([(b"Sec-WebSocket-Extensions", b"permessage-deflate")], "extension"),
        ([(b"Sec-WebSocket-Extensions", b"x-unknown")], "extension"),
    ],
)
def test_a_101_that_breaks_the_rules_is_refused(changes: list[Header], reason: str) -> None:
    handshake = opening(subprotocols=("a", "b"))
    with pytest.raises(HandshakeError, match=reason) as caught:
        handshake.receive(answer(handshake, *changes))
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "extensions",
    [
        b"permessage-deflate",  # without the server_no_context_takeover that was asked for
        b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        b"permessage-deflate; server_no_context_takeover; client_max_window_bits=8",
        b"permessage-deflate; server_no_context_takeover, permessage-deflate",
        b"permessage-deflate; server_no_context_takeover; unknown",
        b"permessage-deflate;;",
        b"permessage-bzip2",
    ],
)
def test_an_extension_that_does_not_answer_the_offer_is_refused(extensions: bytes) -> None:
    handshake = opening(deflate=Deflate())
    with pytest.raises(HandshakeError, match="extension"):
        handshake.receive(answer(handshake, (b"Sec-WebSocket-Extensions", extensions)))


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 101\r\n\r\n",
        b"HTTP/1.1 1010 x\r\n\r\n",
        b"HTTP/1.1 000 x\r\n\r\n",
        b"HTTP/1.1  101\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 101 x\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 x\r\na: b\nc: d\r\n\r\n",
        b"HTTP/1.1 101 x\r\na : b\r\n\r\n",
        b"HTTP/1.1 101 x\r\n folded\r\n\r\n",
        b"HTTP/1.1 101 x\r\na: \0\r\n\r\n",
    ],
)
def test_an_answer_that_is_not_http_is_refused(head: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        opening().receive(head)
    assert caught.value.status == 502


def test_the_head_of_the_response_is_bounded() -> None:
    handshake = opening(limits=Limits(max_header_size=200))
    data = answer(handshake)
    room = 200 - len(data) - len(b"x: \r\n")
    assert agree(handshake, data[:-2] + b"x: " + b"y" * room + b"\r\n\r\n").rest == b""
    with pytest.raises(HandshakeError, match="too large"):
        opening(limits=Limits(max_header_size=200)).receive(b"HTTP/1.1 101 " + b"x" * 188)
    handshake = opening(limits=Limits(max_header_size=200))
    with pytest.raises(HandshakeError, match="too large"):
        handshake.receive(answer(handshake)[:-2] + b"x: " + b"y" * (room + 1) + b"\r\n\r\n")


def test_the_number_of_headers_is_bounded() -> None:
    handshake = opening(limits=Limits(max_header_count=3))
    assert len(agree(handshake, answer(handshake)).headers) == 3
    handshake = opening(limits=Limits(max_header_count=3))
    with pytest.raises(HandshakeError, match="too many headers"):
        handshake.receive(answer(handshake, (b"x", b"y")))


# Refusals.


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"content-length: 5\r\n\r\nhello", b"hello"),
        (b"content-length: 5\r\n\r\nhello!", b"hello"),
        (b"content-length: 0\r\n\r\n", b""),
        (b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\nnonsense", b"hel"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_body_of_a_refusal_is_read(response: bytes, body: bytes, size: int) -> None:
    handshake = opening()
    data = b"HTTP/1.1 403 No\r\nx-why: because\r\n" + response

    def feed() -> None:
        for at in range(0, len(data), size):
            assert handshake.receive(data[at : at + size]) is None

    with pytest.raises(HandshakeError, match="HTTP 403: Forbidden") as caught:
        feed()
    assert caught.value.status == 403
    assert caught.value.headers[0] == (b"x-why", b"because")
    assert caught.value.body == body


def test_a_body_without_an_end_is_kept_as_far_as_it_came() -> None:
    handshake = opening()
    assert handshake.refusal() is None
    assert handshake.receive(b"HTTP/1.1 200 OK\r\n\r\nhel") is None
    assert handshake.receive(b"lo") is None
    refusal = handshake.refusal()
    assert refusal is not None
    assert (refusal.status, refusal.body) == (200, b"hello")


def test_the_body_of_a_refusal_is_bounded() -> None:
    handshake = opening()
    assert handshake.receive(b"HTTP/1.1 599 ?\r\n\r\n" + b"x" * 65535) is None
    with pytest.raises(HandshakeError, match="the server refused") as caught:
        handshake.receive(b"yz")
    assert caught.value.body == b"x" * 65535 + b"y"
