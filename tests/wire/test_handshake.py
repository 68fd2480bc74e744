"""RFC 6455 section 4.2.1: which requests are upgrades, and which of them are refused."""

import base64
from collections.abc import Callable

import pytest

from fastws.errors import HandshakeError
from fastws.wire.handshake import UpgradeRequest, find_head, parse_request, refusal
from tests.wire.requests import FIELDS, KEY, LINE, request, with_field, without_field

MAX = 128


def opened(head: bytes, max_headers: int = MAX) -> UpgradeRequest:
    """Reads a request as the server does: found first, then parsed."""
    assert find_head(head) == len(head)
    return parse_request(head, max_headers)


def refused(head: bytes, max_headers: int = MAX) -> int:
    """Gives the status of a refusal. Each one closes the connection, and says nothing of ours."""
    assert find_head(head) == len(head), "not an upgrade"
    with pytest.raises(HandshakeError) as caught:
        parse_request(head, max_headers)
    response = refusal(caught.value, [])
    assert b"\r\nconnection: close\r\n" in response
    assert response.startswith(b"HTTP/1.1 %d " % caught.value.status)
    assert b"101" not in response.partition(b"\r\n")[0]
    return caught.value.status


def is_plain(head: bytes) -> bool:
    """Tells whether a request is left to the HTTP server."""
    return find_head(head) == -len(head)


# find_head.


def test_a_head_ends_with_an_empty_line() -> None:
    head = request()
    for size in range(len(head)):
        assert find_head(head[:size]) == 0
    assert find_head(head) == len(head)
    assert find_head(head + b"\r\n\r\nmore") == len(head)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_known_not_to_end_the_head_is_skipped(kind: Callable[[bytes], bytes]) -> None:
    head = request()
    for start in range(len(head) - 3):
        assert find_head(kind(head), start) == len(head)
    for start in (len(head) - 3, len(head), len(head) + 1, 1 << 62, -1, -(1 << 62)):
        assert find_head(kind(head), start) == 0
    assert find_head(kind(b"")) == find_head(kind(b"\r\n\r")) == 0


def test_a_head_that_comes_byte_by_byte() -> None:
    """T5: looking only where the end may be, as the server does."""
    head = request(FIELDS + b"X: " + b"x" * 100_000 + b"\r\n")
    buffer = bytearray()
    for size, byte in enumerate(head, 1):
        buffer.append(byte)
        found = find_head(buffer, max(0, size - 4))
        assert found == (size if size == len(head) else 0)


@pytest.mark.parametrize("line_end", [b"\n\n", b"\n\r\n", b"\r\r", b"\r\n\n", b"\n\r\r\n"])
def test_other_line_ends_do_not_end_a_head(line_end: bytes) -> None:
    assert find_head(b"GET / HTTP/1.1\r\nHost: x" + line_end) == 0


@pytest.mark.parametrize(
    "value",
    ["websocket", "WebSocket", " websocket\t", "h2c, websocket", "websocket,h2c", ",, websocket ,"],
)
def test_4_2_1_upgrade_is_a_list_in_any_case(value: str) -> None:
    assert opened(with_field("Upgrade", value)).key == KEY


@pytest.mark.parametrize(
    "value", ["Upgrade", "upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,close", ",upgrade\t"]
)
def test_4_2_1_connection_is_a_list_in_any_case(value: str) -> None:
    assert opened(with_field("Connection", value)).key == KEY


@pytest.mark.parametrize("name", ["Upgrade", "Connection"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "h2c",
        "notupgrade",
        "notwebsocket",
        "upgraded",
        "websockets",
        "websocket/13",
        "up grade",
        "web socket",
        "websocket upgrade",
        "websocket;upgrade",
        '"websocket"',
        '"upgrade"',
        "keep-alive",
        "close",
        "upgrad",
        "websocke",
    ],
)
def test_4_2_1_other_tokens_are_no_upgrade(name: str, value: str) -> None:
    """T15: `notupgrade` is not `upgrade`. T22: what is not for us is left to the HTTP server."""
    assert is_plain(with_field(name, value))


@pytest.mark.parametrize("name", ["Upgrade", "Connection"])
def test_a_request_without_upgrade_is_plain(name: str) -> None:
    assert is_plain(without_field(name))
    assert is_plain(with_field(f"X-{name}", "websocket, upgrade", without=name))
    assert is_plain(with_field(f"{name} ", "websocket, upgrade", without=name))
    assert is_plain(with_field(f" {name}", "websocket, upgrade", without=name))
    assert is_plain(with_field(f"{name}s", "websocket, upgrade", without=name))


def test_connection_may_come_twice() -> None:
    """RFC 9110 section 5.3: a list may be spread over fields."""
    assert opened(request(b"Connection: keep-alive\r\n" + FIELDS)).key == KEY
    assert opened(request(FIELDS + b"Connection: close\r\n")).key == KEY


def test_upgrade_in_the_target_or_a_value_is_no_upgrade() -> None:
    head = b"GET /Upgrade:websocket HTTP/1.1\r\nX: Upgrade: websocket\r\nConnection: x\r\n\r\n"
    assert is_plain(head)


# What parse_request gives.


def test_what_an_app_needs_of_a_request() -> None:
    fields = b"Cookie: a=1\r\nX-Latin: caf\xe9\r\ncookie:b=2 \r\nX-Empty:\r\nX-Tab: \ta\tb\t \r\n"
    found = opened(request(FIELDS + fields, line=b"GET /a%20b?c=d&e HTTP/1.1"))
    assert found.target == b"/a%20b?c=d&e"
    assert found.headers[:2] == [(b"host", b"example.com"), (b"upgrade", b"websocket")]
    assert found.headers[5:] == [
        (b"cookie", b"a=1"),
        (b"x-latin", b"caf\xe9"),
        (b"cookie", b"b=2"),
        (b"x-empty", b""),
        (b"x-tab", b"a\tb"),
    ]
    assert (found.key, found.subprotocols, found.extensions) == (KEY, [], b"")


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title, str.swapcase])
def test_names_of_headers_have_no_case(case: Callable[[str], str]) -> None:
    lines = [line.partition(":") for line in FIELDS.decode().split("\r\n") if line]
    fields = "".join(f"{case(name)}:{value}\r\n" for name, _, value in lines)
    assert opened(request(fields.encode())).headers == opened(request()).headers


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "/"),
        ("/a/b/../c?d", "/a/b/../c?d"),
        ("//host/path", "//host/path"),
        ("/~!$&'()*+,;=:@%", "/~!$&'()*+,;=:@%"),
        ("http://example.com/chat?x", "/chat?x"),
        ("HTTPS://user@example.com:8080/", "/"),
    ],
)
def test_4_2_1_the_target(target: str, expected: str) -> None:
    """4.2.1: a path, or "an absolute HTTP/HTTPS URI containing the resource name"."""
    line = f"GET {target} HTTP/1.1".encode()
    assert opened(request(line=line)).target == expected.encode()


@pytest.mark.parametrize("name", ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"])
def test_lists_may_be_spread_over_headers(name: str) -> None:
    field = name.encode()
    fields = field + b": a, b\r\n" + FIELDS + field.lower() + b":c\r\n" + field + b":,\r\n"
    found = opened(request(fields))
    if name == "Sec-WebSocket-Protocol":
        assert (found.subprotocols, found.extensions) == (["a", "b", "c"], b"")
    else:
        assert (found.subprotocols, found.extensions) == ([], b"a, b,c,,")


# What is refused. T13, T14, T22.


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("POST / HTTP/1.1", 405),
        ("HEAD / HTTP/1.1", 405),
        ("CONNECT example.com:80 HTTP/1.1", 405),
        ("get / HTTP/1.1", 405),
        ("GETS / HTTP/1.1", 405),
        ("GET / HTTP/1.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.10", 505),
        ("GET / http/1.1", 505),
        ("GET / HTTP/1.1x", 505),
        ("GET / ICE/1.1", 505),
        ("GET / HTTP/1.1 ", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET / ", 505),
        ("GET /", 400),
        ("GET", 400),
        ("", 400),
        ("G\0ET / HTTP/1.1", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET chat HTTP/1.1", 400),
        ("GET ?x HTTP/1.1", 400),
        ("GET http://example.com HTTP/1.1", 400),
        ("GET http:/// HTTP/1.1", 400),
        ("GET http://exam\0ple.com/ HTTP/1.1", 400),
        ("GET http://exam\tple.com/ HTTP/1.1", 400),
        ("GET http://éxample.com/ HTTP/1.1", 400),
        ("GET http://example.com?/ HTTP/1.1", 400),
        ("GET ws://example.com/ HTTP/1.1", 400),
        ("GET example.com:80 HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET /é HTTP/1.1", 400),
        ("GET /\tx HTTP/1.1", 400),
        ("GET /\rx HTTP/1.1", 400),
    ],
)
def test_4_2_1_request_lines_that_are_refused(line: str, status: int) -> None:
    """4.2.1: "An HTTP/1.1 or higher GET request"."""
    assert refused(request(line=line.encode())) == status


def test_405_names_the_method_that_is_allowed() -> None:
    with pytest.raises(HandshakeError) as caught:
        parse_request(request(line=b"POST / HTTP/1.1"), MAX)
    assert b"\r\nallow: GET\r\n" in refusal(caught.value, [])


@pytest.mark.parametrize("name", ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_4_2_1_headers_that_are_required(name: str) -> None:
    """T13: missing."""
    assert refused(without_field(name)) == 400


@pytest.mark.parametrize("name", ["Host", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_4_2_1_headers_that_come_once(name: str) -> None:
    """T13: duplicates, equal ones as well, in any case."""
    (line,) = [line for line in FIELDS.split(b"\r\n") if line.startswith(name.encode() + b":")]
    for again in (line, name.upper().encode() + b": other"):
        assert refused(request(FIELDS + again + b"\r\n")) == 400
        assert refused(request(again + b"\r\n" + FIELDS)) == 400


@pytest.mark.parametrize("version", ["", "0", "8", "12", "14", "013", "13, 13", "13.0", "1 3", "x"])
def test_4_4_other_versions(version: str) -> None:
    """4.4: 426, "a |Sec-WebSocket-Version| header indicating the version(s)" that we speak."""
    head = with_field("Sec-WebSocket-Version", version)
    assert refused(head) == 426
    with pytest.raises(HandshakeError) as caught:
        parse_request(head, MAX)
    response = refusal(caught.value, [])
    assert b"\r\nsec-websocket-version: 13\r\n" in response
    assert b"\r\nupgrade: websocket\r\n" in response


def test_4_2_1_a_key_has_16_bytes_in_base64() -> None:
    """T14: every length up to 4096."""
    for length in range(4097):
        key = "A" * (length - 2) + "==" if length >= 2 else "A" * length
        head = with_field("Sec-WebSocket-Key", key)
        if length == 24:
            assert opened(head).key == key.encode()
        else:
            assert refused(head) == 400
        assert refused(with_field("Sec-WebSocket-Key", "A" * length)) == 400


@pytest.mark.parametrize("size", [0, 14, 15, 17, 18, 32])
def test_4_2_1_a_key_that_decodes_to_other_than_16_bytes(size: int) -> None:
    key = base64.b64encode(bytes(size)).decode()
    assert refused(with_field("Sec-WebSocket-Key", key)) == 400


@pytest.mark.parametrize("byte", [byte for byte in range(256) if byte not in b"\r\n"])
def test_4_2_1_every_byte_in_a_key(byte: int) -> None:
    """T14: the alphabet of base64 and no other byte; NUL and the rest of the controls, too."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for place in (0, 11, 21):
        key = bytearray(KEY)
        key[place] = byte
        head = request(FIELDS.replace(KEY, bytes(key)))
        if byte in alphabet:
            assert opened(head).key == key
        elif byte in b" \t" and place == 0:
            assert refused(head) == 400  # 23 characters are left
        else:
            assert refused(head) == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "1"),
        ("Content-Length", "00"),
        ("Content-Length", "-1"),
        ("Content-Length", "0, 0"),
        ("Content-Length", "0x0"),
        ("Content-Length", ""),
        ("Content-Length", "18446744073709551616"),
        ("Transfer-Encoding", "chunked"),
        ("Transfer-Encoding", "identity"),
        ("Transfer-Encoding", ""),
        ("Transfer-Encoding", "0"),
        ("transfer-ENCODING", "gzip, chunked"),
    ],
)
def test_a_handshake_has_no_body(name: str, value: str) -> None:
    """T22."""
    assert refused(with_field(name, value)) == 400


def test_a_handshake_may_say_that_it_has_no_body() -> None:
    assert opened(with_field("Content-Length", "0")).key == KEY


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_control_characters_in_values(byte: int) -> None:
    """T13: NUL, CR, LF and the rest; a value cannot begin a new field."""
    for value in (b"a%cb", b"%c", b"a%c", b"%ca", b"a %cb: c"):
        fields = FIELDS + b"X: " + value % byte + b"\r\n"
        assert refused(request(fields)) == 400
    # The same in front of what makes it an upgrade.
    head = request(b"X: a%cb\r\n" % byte + FIELDS)
    assert refused(head) == 400


@pytest.mark.parametrize("byte", range(256))
def test_names_are_tokens(byte: int) -> None:
    """RFC 9110 section 5.1: no space before the colon, no folded lines, no empty name."""
    token = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    if byte in b"\r\n:":
        return
    for name in (b"X%cX", b"%cX", b"X%c", b"%c"):
        head = request(FIELDS + name % byte + b": value\r\n")
        if byte in token:
            assert opened(head).headers[-1] == ((name % byte).lower(), b"value")
        else:
            assert refused(head) == 400


@pytest.mark.parametrize(
    "fields",
    [
        b"no colon\r\n",
        b": empty name\r\n",
        b"X: folded\r\n line\r\n",
        b"X: folded\r\n\tline\r\n",
        b"\r: x\r\n",
        b"X: y\n",
        b"X: y\nZ: a\r\n",
        b"X: y\rZ: a\r\n",
        b"X: y\r\r\n",
        b"\n",
    ],
)
def test_lines_that_are_no_headers(fields: bytes) -> None:
    """T13: a bare LF or CR is no line end to us, and so not to a proxy either."""
    assert refused(request(fields + FIELDS)) == 400
    if not fields.endswith(b"y\n") and fields != b"\n":
        assert refused(request(FIELDS + fields)) == 400


@pytest.mark.parametrize("count", [5, 6, 100, 128])
def test_the_number_of_headers_is_limited(count: int) -> None:
    """T13: inclusive."""
    extra = b"".join(b"X-%d: y\r\n" % number for number in range(count - 5))
    assert len(opened(request(FIELDS + extra), count).headers) == count
    assert refused(request(FIELDS + extra), count - 1) == 431
    assert refused(request(extra + FIELDS), 0) == 431


def test_many_headers_and_long_ones() -> None:
    """T13, T5: 100,000 headers and 10 MB of one, found and refused in linear time."""
    assert refused(request(b"a: b\r\n" * 100_000 + FIELDS)) == 431
    assert len(opened(request(FIELDS + b"a: b\r\n" * 100_000), 1 << 30).headers) == 100_005
    assert opened(request(FIELDS + b"X: " + b"y" * 10_000_000 + b"\r\n")).key == KEY
    assert refused(request(b":" * 1_000_000 + b"\r\n" + FIELDS)) == 400
    assert is_plain(LINE + b"\r\nConnection:" + b"upgrade ," * 1_000_000 + b"\r\n\r\n")
    assert is_plain(LINE + b"\r\n" + b"Upgrade: " + b" " * 1_000_000 + b"x\r\n\r\n")


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"GET / HTTP/1.1", b"\n", b"\r", b":"])
def test_parse_request_survives_what_is_no_head(data: bytes) -> None:
    with pytest.raises(HandshakeError):
        parse_request(data, MAX)
    with pytest.raises(HandshakeError):
        parse_request(LINE + b"\r\n" + data, MAX)


# Subprotocols and extensions.


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("chat", ["chat"]),
        ("chat, superchat", ["chat", "superchat"]),
        (" a ,\tb,c\t", ["a", "b", "c"]),
        (",,a,,", ["a"]),
        ("", []),
        ("v1.json!#$%&'*+-.^_`|~", ["v1.json!#$%&'*+-.^_`|~"]),
        ("a, a", ["a", "a"]),
        ("__proto__", ["__proto__"]),
    ],
)
def test_1_9_subprotocols(value: str, expected: list[str]) -> None:
    assert opened(with_field("Sec-WebSocket-Protocol", value)).subprotocols == expected


@pytest.mark.parametrize(
    "value", ["a b", "a;b", '"a"', "a/b", "(a)", "é", "a=b", "{", "a\0", "chat, a b", "@"]
)
def test_4_1_subprotocols_are_tokens(value: str) -> None:
    """T15, T20: what could not be echoed is refused."""
    assert refused(with_field("Sec-WebSocket-Protocol", value)) == 400


def test_lists_are_parsed_in_linear_time() -> None:
    """T15: quadratic work would take hours."""
    many = ",".join(f"p{number}" for number in range(100_000))
    assert len(opened(with_field("Sec-WebSocket-Protocol", many)).subprotocols) == 100_000
    for value in ("b" + " " * 1_000_000 + "x", "," * 1_000_000 + "é", "a " * 500_000):
        assert refused(with_field("Sec-WebSocket-Protocol", value)) == 400
    assert opened(with_field("Sec-WebSocket-Extensions", 'a; b="' * 100_000)).key == KEY


def test_a_request_behind_the_first_is_not_looked_at() -> None:
    """T22: the head ends where it ends."""
    first = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert find_head(first + request()) == -len(first)
    assert find_head(request() + first) == len(request())
