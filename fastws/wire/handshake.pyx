# cython: language_level=3, boundscheck=False, initializedcheck=False, binding=False
"""The opening handshake as a server sees it (RFC 6455 section 4.2).

`find_head` looks at each request that comes in and tells upgrades from plain HTTP;
`parse_request` then reads an upgrade, once, and either gives all that an app needs of it or
raises the refusal that the client gets.
"""

import re
from binascii import b2a_base64
from http import HTTPStatus

try:
    # Without OpenSSL's machinery, which takes longer than the hash itself.
    from _sha1 import sha1
except ImportError:
    from hashlib import sha1

from fastws.errors import HandshakeError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

cdef extern from "string.h" nogil:
    void *memmem(const void *haystack, size_t n, const void *needle, size_t m)

cdef extern from "strings.h" nogil:
    int strncasecmp(const char *one, const char *other, size_t n)

# 1.3: what the key is concatenated with before hashing.
cdef bytes GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# RFC 9110 section 5.6.2.
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
# Visible characters; in front of the path, none that would end the host.
_TARGET = re.compile(
    rb"(?:https?://[\x21\x22\x24-\x2e\x30-\x3e\x40-\x7e]+)?(/[\x21-\x7e]*)", re.IGNORECASE
)

# Names and values that nearly every handshake has are kept once, not once per connection.
cdef dict _NAMES = {
    spelling: name
    for name in (
        b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language",
        b"cache-control", b"connection", b"cookie", b"origin", b"pragma", b"upgrade",
        b"authorization", b"sec-websocket-extensions", b"sec-websocket-key",
        b"sec-websocket-protocol", b"sec-websocket-version", b"x-forwarded-for",
        b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"x-request-id", b"via",
        b"date", b"server", b"sec-websocket-accept", b"content-type", b"content-length",
    )
    for spelling in (name, name.title(), name.title().replace(b"Websocket", b"WebSocket"))
}
cdef dict _VALUES = {
    value: value
    for value in (
        b"websocket", b"Upgrade", b"keep-alive, Upgrade", b"13", b"no-cache", b"*/*",
        b"permessage-deflate; client_max_window_bits", b"gzip, deflate, br, zstd",
    )
}


cdef class UpgradeRequest:
    """A valid request to open a WebSocket.

    Attributes:
        target: path and query as they came, without scheme and host.
        headers: pairs of a lower-case name and a value, in their order.
        key: the value of Sec-WebSocket-Key.
        subprotocols: what the client offers, in its order of preference.
        extensions: all Sec-WebSocket-Extensions headers, joined by commas.
    """


def find_head(const uint8_t[::1] data not None, Py_ssize_t start=0) -> int:
    """Looks for the end of a request head, and at what kind of request it is.

    Args:
        data: bytes that begin with a request line.
        start: where to look from, if the bytes before are known not to end the head.

    Returns:
        The size of the head if it asks for an upgrade to WebSocket, its negative if it is
        plain HTTP, 0 if the head is not complete.
    """
    cdef Py_ssize_t n = data.shape[0], size
    cdef const char *text
    cdef const char *end
    if start < 0 or n <= start:
        return 0
    text = <const char *>&data[0]
    end = <const char *>memmem(text + start, n - start, b"\r\n\r\n", 4)
    if end == NULL:
        return 0
    size = end - text + 4
    return size if _asks_for_websocket(text, end + 2) else -size


def is_bodiless(bytes data not None, Py_ssize_t max_size, Py_ssize_t max_count) -> bool:
    """Tells whether the data are exactly one head of plain HTTP that nothing can follow.

    That is a GET or HEAD request that announces neither a body nor a change of protocol, within
    the limits, in lines that end as they should. Nearly every request is; the others need a
    closer look, and may get it without being wrong.

    Args:
        max_size: bytes of the whole head.
        max_count: header lines in it.
    """
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data), count = -1
    cdef const char *line
    cdef const char *end
    cdef const char *stop
    if n < 18 or n > max_size:
        return False
    line = PyBytes_AS_STRING(data)
    end = line + n
    if memcmp(line, b"GET ", 4) != 0 and memcmp(line, b"HEAD ", 5) != 0:
        return False
    while line < end:
        stop = <const char *>memchr(line, b"\n", end - line)
        if stop == NULL or stop == line or stop[-1] != b"\r":
            return False
        if stop - line == 1:
            # The empty line: of more than one request, this is not the last.
            return stop + 1 == end and 0 <= count <= max_count
        if _announces_more(line, stop - line):
            return False
        count += 1
        line = stop + 1
    return False


cdef bint _announces_more(const char *line, Py_ssize_t n) noexcept:
    """Tells whether a header line says that something other than a request comes next."""
    cdef char first = line[0] | 0x20
    if first == b"c":
        return n > 15 and strncasecmp(line, b"content-length:", 15) == 0
    if first == b"t":
        return n > 18 and strncasecmp(line, b"transfer-encoding:", 18) == 0
    if first == b"u":
        return n > 8 and strncasecmp(line, b"upgrade:", 8) == 0
    # A continued line (RFC 9112 section 5.2) could be any of these.
    return line[0] == b" " or line[0] == b"\t"


cdef bint _asks_for_websocket(const char *line, const char *end) noexcept:
    """Tells whether a head has both header fields that 4.2.1 asks of an upgrade."""
    cdef const char *stop
    cdef bint upgrade = False, connection = False
    while line < end:
        stop = <const char *>memchr(line, b"\n", end - line)
        if stop == NULL:
            stop = end
        if stop - line > 8 and strncasecmp(line, b"upgrade:", 8) == 0:
            upgrade = upgrade or _has_token(line + 8, stop, b"websocket", 9)
        elif stop - line > 11 and strncasecmp(line, b"connection:", 11) == 0:
            connection = connection or _has_token(line + 11, stop, b"upgrade", 7)
        line = stop + 1
    return upgrade and connection


cdef bint _has_token(
    const char *at, const char *end, const char *token, Py_ssize_t size
) noexcept:
    """Looks for a token in a comma-separated list, whole and in any case."""
    cdef const char *comma
    cdef const char *last
    while at < end:
        comma = <const char *>memchr(at, b",", end - at)
        if comma == NULL:
            comma = end
        last = comma
        while at < last and at[0] in (b" ", b"\t"):
            at += 1
        while last > at and last[-1] in (b" ", b"\t", b"\r"):
            last -= 1
        if last - at == size and strncasecmp(at, token, size) == 0:
            return True
        at = comma + 1
    return False


def parse_request(head: bytes, int max_headers) -> UpgradeRequest:
    """Reads a request head that asks for an upgrade (RFC 6455 section 4.2.1).

    Args:
        head: the request line and the headers, with the empty line that ends them.
        max_headers: the number of headers that is too many when passed.

    Raises:
        HandshakeError: the request is not one to be answered with 101.
    """
    cdef UpgradeRequest request = UpgradeRequest.__new__(UpgradeRequest)
    cdef dict seen = {}
    line, _, rest = head.partition(b"\r\n")
    request.target = _parse_request_line(line)
    request.headers = parse_headers(rest, max_headers)
    request.subprotocols = []
    request.extensions = b""
    for name, value in request.headers:
        role = _ROLES.get(name)
        if role is None:
            continue
        if role == "once":
            if name in seen:
                raise HandshakeError(400, f"more than one {name.decode()} header")
            seen[name] = value
        elif role == "subprotocols":
            _add_subprotocols(request.subprotocols, value)
        elif role == "extensions":
            request.extensions = request.extensions + b"," + value if request.extensions else value
        elif role == "coding" or value != b"0":
            # A body could hide a second request from a proxy, or from us.
            raise HandshakeError(400, "a WebSocket handshake has no body")
    request.key = _check(seen)
    return request


# What the headers of a handshake are to us; all others are for the app alone.
cdef dict _ROLES = {
    b"host": "once",
    b"upgrade": "once",
    b"sec-websocket-key": "once",
    b"sec-websocket-version": "once",
    b"sec-websocket-protocol": "subprotocols",
    b"sec-websocket-extensions": "extensions",
    b"content-length": "length",
    b"transfer-encoding": "coding",
}


cdef bytes _parse_request_line(bytes line):
    """Checks the request line; returns the target, without scheme and host."""
    cdef const char *at = PyBytes_AS_STRING(line)
    cdef Py_ssize_t n = len(line)
    # What nearly every client sends needs no regular expression.
    if n > 14 and memcmp(at, b"GET /", 5) == 0 and memcmp(at + n - 9, b" HTTP/1.1", 9) == 0:
        if _is_visible(at + 4, at + n - 9):
            return line[4 : n - 9]
    parts = line.split(b" ")
    if len(parts) != 3 or not TOKEN.fullmatch(parts[0]):
        raise HandshakeError(400, "the request line is malformed")
    method, target, version = parts
    # 4.2.1: "An HTTP/1.1 or higher GET request"
    if version != b"HTTP/1.1":
        raise HandshakeError(505, "a WebSocket handshake takes HTTP/1.1")
    if method != b"GET":
        raise HandshakeError(405, "a WebSocket handshake takes GET", ((b"allow", b"GET"),))
    match = _TARGET.fullmatch(target)
    if match is None:
        raise HandshakeError(400, "the request target is malformed")
    return match[1]


cdef bint _is_visible(const char *at, const char *end) noexcept:
    while at < end:
        if not 0x21 <= <uint8_t>at[0] <= 0x7E:
            return False
        at += 1
    return True


cpdef list parse_headers(bytes rest, int max_headers):
    """Reads the header fields of a head, down to the empty line that ends it.

    Raises:
        HandshakeError: there are too many, or they do not follow RFC 9112 section 5.
    """
    cdef list headers = []
    cdef const char *at = PyBytes_AS_STRING(rest)
    cdef const char *end = at + len(rest) - 2
    cdef const char *stop
    cdef const char *colon
    cdef const char *last
    cdef bytes name, value
    while at < end:
        if len(headers) >= max_headers:
            raise HandshakeError(431, "too many headers")
        stop = <const char *>memchr(at, b"\n", end - at)
        if stop == NULL or stop == at or stop[-1] != b"\r":
            raise HandshakeError(400, "a line does not end in CR LF")
        colon = <const char *>memchr(at, b":", stop - at)
        if colon == NULL:
            raise HandshakeError(400, "a header has no colon")
        name = PyBytes_FromStringAndSize(at, colon - at)
        at = colon + 1
        last = stop - 1
        while at < last and at[0] in (b" ", b"\t"):
            at += 1
        while last > at and last[-1] in (b" ", b"\t"):
            last -= 1
        if not _is_field_value(at, last):
            raise HandshakeError(400, "a header has a control character")
        value = PyBytes_FromStringAndSize(at, last - at)
        known = _NAMES.get(name)
        if known is None:
            if not TOKEN.fullmatch(name):
                raise HandshakeError(400, "a header's name is malformed")
            known = name.lower()
        headers.append((known, _VALUES.get(value, value)))
        at = stop + 1
    return headers


cdef bint _is_safe(bytes value):
    cdef const char *at = PyBytes_AS_STRING(value)
    return _is_field_value(at, at + len(value))


cdef bint _is_field_value(const char *at, const char *end) noexcept:
    """Looks for what RFC 9110 section 5.5 forbids; CR and LF would start a new field."""
    cdef uint8_t byte
    while at < end:
        byte = <uint8_t>at[0]
        if (byte < 0x20 and byte != 0x09) or byte == 0x7F:
            return False
        at += 1
    return True


def _add_subprotocols(list subprotocols, bytes value):
    for token in value.split(b","):
        token = token.strip(b" \t")
        if not token:
            continue
        if not TOKEN.fullmatch(token):
            raise HandshakeError(400, "a subprotocol's name is malformed")
        subprotocols.append(token.decode("ascii"))


cdef bytes _check(dict seen):
    """Checks the headers that 4.2.1 requires; returns the key."""
    if b"host" not in seen:
        raise HandshakeError(400, "the Host header is missing")
    version = seen.get(b"sec-websocket-version")
    if version is None:
        raise HandshakeError(400, "the Sec-WebSocket-Version header is missing")
    if version != b"13":
        # 4.4: the server "MUST ... include a Sec-WebSocket-Version header" with what it speaks.
        raise HandshakeError(
            426,
            "this server speaks version 13",
            ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")),
        )
    key = seen.get(b"sec-websocket-key")
    # 4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length"
    if key is None or not _KEY.fullmatch(key):
        raise HandshakeError(400, "the Sec-WebSocket-Key header is missing or malformed")
    return key


def accept_key(key: bytes) -> bytes:
    """Gives the Sec-WebSocket-Accept value that answers a key (RFC 6455 section 4.2.2)."""
    return b2a_base64(sha1(key + GUID).digest(), newline=False)


def accept_response(key: bytes, headers) -> bytes:
    """Builds the 101 response (RFC 6455 section 4.2.2).

    Args:
        key: the request's Sec-WebSocket-Key.
        headers: pairs of bytes that are sent besides those that the handshake needs.

    Raises:
        ValueError: a header's name is not a token, or its value has a control character.
    """
    parts = [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: ",
        accept_key(key),
        b"\r\n",
    ]
    append_headers(parts, headers)
    return b"".join(parts)


def http_response(int status, headers) -> bytes:
    """Builds the head of a refusal; its headers always close the connection.

    Raises:
        ValueError: a header's name is not a token, or its value has a control character.
    """
    try:
        phrase = HTTPStatus(status).phrase.encode()
    except ValueError:
        phrase = b""
    parts = [b"HTTP/1.1 %d %s\r\nconnection: close\r\n" % (status, phrase)]
    append_headers(parts, headers)
    return b"".join(parts)


def refusal(error, default_headers) -> bytes:
    """Builds the whole response for a `HandshakeError`."""
    body = error.reason.encode()
    headers = [
        *default_headers,
        *error.headers,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    return http_response(error.status, headers) + body


cpdef append_headers(list parts, headers):
    """Adds header fields and the empty line that ends them.

    Raises:
        ValueError: a header's name is not a token, or its value has a control character.
    """
    for name, value in headers:
        if name not in _NAMES and not TOKEN.fullmatch(name):
            raise ValueError(f"a header's name is malformed: {name!r}")
        if not _is_safe(value):
            raise ValueError(f"a header's value has a control character: {name!r}")
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
