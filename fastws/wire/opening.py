"""The opening handshake as a client sees it (RFC 6455 sections 3 and 4.1)."""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from secrets import token_bytes
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

from fastws.errors import HandshakeError
from fastws.limits import KIB, Limits
from fastws.wire.deflate import Deflate, Params, accepted, offer
from fastws.wire.handshake import TOKEN, accept_key, append_headers, find_head, parse_headers

Header = tuple[bytes, bytes]
Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

# What is kept of the body of a refusal.
MAX_BODY = 64 * KIB
# The status of our own errors: an answer that is none, seen from this side.
BAD_ANSWER = 502

_PORTS = {"ws": 80, "wss": 443}
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [\x20-\xff\t]*)?")
# What the handshake sets itself, or cannot have.
_RESERVED = frozenset({b"connection", b"upgrade", b"content-length", b"transfer-encoding"})


class Address(NamedTuple):
    """Where a URI leads.

    Attributes:
        secure: whether TLS is asked for.
        authority: host and port as the Host header has them.
        target: path and query.
    """

    host: str
    port: int
    secure: bool
    authority: bytes
    target: bytes


def parse_uri(uri: str) -> Address:
    """Reads a ws or wss URI (RFC 6455 section 3).

    Raises:
        ValueError: it is none; the message has nothing of it, since it may hold a token.
    """
    if not _VISIBLE.fullmatch(uri):
        raise ValueError("the URI has characters that have to be percent-encoded")
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("the URI is not of the form ws://host/path or wss://host/path")
    # "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used"
    if "#" in uri:
        raise ValueError("the URI of a WebSocket has no fragment")
    if "@" in parts.netloc:
        raise ValueError("the URI has a user; give an Authorization header instead")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    authority = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port != _PORTS[parts.scheme]:
        authority += f":{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "wss"
    return Address(parts.hostname, port, secure, authority.encode(), target.encode())


class Agreement(NamedTuple):
    """What the two sides agreed on.

    Attributes:
        headers: those of the response; names in lower case.
        subprotocol: the one that the server chose, if any.
        params: how messages are compressed, if they are.
        rest: bytes that came behind the response: the first frames.
    """

    headers: list[Header]
    subprotocol: str | None
    params: Params | None
    rest: bytes


class Opening:
    """One opening handshake: `request` goes out, and `receive` takes what comes back.

    Attributes:
        request: the bytes of the request.
        deflate: what was offered, or None.
        limits: what the response is held to.
    """

    def __init__(
        self,
        address: Address,
        headers: Headers | None,
        subprotocols: Sequence[str],
        deflate: Deflate | None,
        limits: Limits,
    ) -> None:
        """Builds the request.

        Raises:
            ValueError: a header or a subprotocol cannot be sent.
        """
        self.deflate = deflate
        self.limits = limits
        # 4.1: "a nonce consisting of a randomly selected 16-byte value"
        self._key = b64encode(token_bytes(16))
        self._subprotocols = _check_subprotocols(subprotocols)
        self.request = self._build(address, _encode(headers))
        self._data = bytearray()
        self._refusal: _Refusal | None = None

    def _build(self, address: Address, extra: list[Header]) -> bytes:
        headers: list[Header] = []
        if not any(name.lower() == b"host" for name, _ in extra):
            headers.append((b"Host", address.authority))
        headers += [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            (b"Sec-WebSocket-Version", b"13"),
        ]
        if self._subprotocols:
            headers.append((b"Sec-WebSocket-Protocol", b", ".join(self._subprotocols)))
        if self.deflate is not None:
            headers.append((b"Sec-WebSocket-Extensions", offer(self.deflate)))
        parts = [b"GET ", address.target, b" HTTP/1.1\r\n"]
        append_headers(parts, headers + extra)
        return b"".join(parts)

    def receive(self, data: bytes) -> Agreement | None:
        """Takes bytes of the response.

        Returns:
            What was agreed on, or None while the response is not complete.

        Raises:
            HandshakeError: the server refused, or its answer breaks the rules.
        """
        if self._refusal is not None:
            self._read_refusal(data)
            return None
        # Searched once: only the end of what waited can be part of the empty line.
        start = max(len(self._data) - 3, 0)
        self._data += data
        while size := abs(find_head(self._data, start)):
            if size > self.limits.max_header_size:
                break
            head = bytes(self._data[:size])
            status, headers = self._parse(head)
            if status == HTTPStatus.SWITCHING_PROTOCOLS:
                return self._agree(headers, bytes(self._data[size:]))
            # RFC 9110 15.2: other 1xx may come before the response, and may be ignored.
            if status >= HTTPStatus.OK:
                self._refusal = _Refusal(status, tuple(headers))
                self._read_refusal(bytes(self._data))
                return None
            del self._data[:size]
            start = 0
        if len(self._data) > self.limits.max_header_size:
            raise HandshakeError(BAD_ANSWER, "the head of the response is too large")
        return None

    def refusal(self) -> HandshakeError | None:
        """Gives the refusal as far as it has come, if it is one."""
        return None if self._refusal is None else self._refusal.error()

    def _read_refusal(self, data: bytes) -> None:
        assert self._refusal is not None
        self._refusal.feed(data)
        if self._refusal.complete:
            raise self._refusal.error()

    def _parse(self, head: bytes) -> tuple[int, list[Header]]:
        line, _, rest = head.partition(b"\r\n")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise HandshakeError(BAD_ANSWER, "the answer is not HTTP/1.1")
        try:
            return int(match[1]), parse_headers(rest, self.limits.max_header_count)
        except HandshakeError as error:
            raise HandshakeError(BAD_ANSWER, error.reason) from None

    def _agree(self, headers: list[Header], rest: bytes) -> Agreement:
        """Checks a 101 response (4.1, the six points after "the client MUST validate")."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value)
        if [value.lower() for value in values.get(b"upgrade", [])] != [b"websocket"]:
            raise HandshakeError(BAD_ANSWER, "the Upgrade header is missing or wrong")
        options = b",".join(values.get(b"connection", [])).lower().split(b",")
        if b"upgrade" not in [option.strip(b" \t") for option in options]:
            raise HandshakeError(BAD_ANSWER, "the Connection header is missing or wrong")
        if values.get(b"sec-websocket-accept") != [accept_key(self._key)]:
            raise HandshakeError(BAD_ANSWER, "the Sec-WebSocket-Accept header is missing or wrong")
        params = None
        if extensions := values.get(b"sec-websocket-extensions"):
            if self.deflate is None:
                raise HandshakeError(
                    BAD_ANSWER, "the server accepted an extension that was not offered"
                )
            params = accepted(b",".join(extensions), self.deflate)
        chosen = values.get(b"sec-websocket-protocol")
        if chosen is not None and (len(chosen) > 1 or chosen[0] not in self._subprotocols):
            raise HandshakeError(BAD_ANSWER, "the server chose a subprotocol that was not offered")
        subprotocol = None if chosen is None else chosen[0].decode()
        return Agreement(headers, subprotocol, params, rest)


class _Refusal:
    """A response other than 101, of which the body is read."""

    def __init__(self, status: int, headers: tuple[Header, ...]) -> None:
        self.complete = False
        self._status = status
        self._headers = headers
        self._body = bytearray()
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Takes bytes of the response, from its first on."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.complete = True

    def on_body(self, body: bytes) -> None:
        self._body += body[: MAX_BODY - len(self._body)]
        self.complete = len(self._body) == MAX_BODY

    def on_message_complete(self) -> None:
        self.complete = True

    def error(self) -> HandshakeError:
        try:
            reason = HTTPStatus(self._status).phrase
        except ValueError:
            reason = "the server refused"
        return HandshakeError(self._status, reason, self._headers, bytes(self._body))


def _check_subprotocols(subprotocols: Sequence[str]) -> list[bytes]:
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols is a sequence of names, not one name")
    names = [name.encode() for name in subprotocols]
    # 4.1: each is a token, "and MUST all be unique strings"
    if not all(map(TOKEN.fullmatch, names)) or len(set(names)) < len(names):
        raise ValueError("a subprotocol is not a token, or comes twice")
    return names


def _encode(headers: Headers | None) -> list[Header]:
    """Gives a caller's headers as bytes.

    Raises:
        ValueError: one is set by the handshake itself, or has characters outside of Latin-1.
    """
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    encoded = []
    for name, value in items:
        field = name.encode("latin-1") if isinstance(name, str) else name
        text = value.encode("latin-1") if isinstance(value, str) else value
        if field.lower() in _RESERVED or field.lower().startswith(b"sec-websocket-"):
            raise ValueError(f"the handshake does not take a header of the caller's: {name!r}")
        encoded.append((field, text))
    return encoded
