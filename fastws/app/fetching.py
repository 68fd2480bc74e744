"""Fetch one small document over HTTP: no redirects, one deadline for all of it, bounded in size."""

import io
import ipaddress
import ssl as tls
import time
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit


def opener_for(url: str, ssl: tls.SSLContext | None) -> request.OpenerDirector:
    """Return an opener for a URL, which does not follow redirects.

    Raises:
        ValueError: such a URL is not safe to get keys from.
    """
    parts = urlsplit(url)
    plain = parts.scheme == "http"
    if not (parts.scheme == "https" or (plain and _is_loopback(parts.hostname or ""))):
        raise ValueError("keys come by https, or by http from the loopback interface")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("the URL of the keys needs a host, and cannot have a user")
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler({} if plain else None),
        _Plain() if plain else _Encrypted(ssl),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fetch(opener: request.OpenerDirector, url: str, timeout: float, max_size: int) -> bytes:
    """Return the body of the answer; of a larger one the first `max_size` bytes, and some more.

    Raises:
        OSError: the request failed, or took more than `timeout` seconds.
        HTTPException: the answer is not HTTP.
    """
    headers = {"Accept": "application/jwk-set+json, application/json", "User-Agent": "fastws"}
    asked = request.Request(url, headers=headers)  # noqa: S310 - opener_for() saw the scheme
    response: HTTPResponse
    with closing(opener.open(asked, timeout=timeout)) as response:
        content = bytearray()
        while len(content) <= max_size and (piece := response.read1(65536)):
            content += piece
    return bytes(content)


def cause_of(error: Exception) -> str:
    """Return what went wrong, without a word of the other side."""
    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code}"
    if isinstance(error, HTTPException):
        return type(error).__name__
    return str(error.reason if isinstance(error, URLError) else error)


class _Incoming(io.RawIOBase):
    """Bytes of a socket until a deadline. The socket's own timeout begins anew with each byte."""

    def __init__(self, deadline: float, sock: Any, raw: io.RawIOBase) -> None:
        self._deadline = deadline
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there; wait for it until the deadline.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the socket's own file."""
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """A response that has come by a deadline, head and body."""

    def __init__(self, deadline: float, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: Any = io.BufferedReader(_Incoming(deadline, sock, self.fp.detach()))


def _connection(kind: type[HTTPConnection], host: str, **options: Any) -> HTTPConnection:
    """Return a connection whose responses have to come within its timeout, from now on."""
    connection: Any = kind(host, **options)
    connection.response_class = partial(_Response, time.monotonic() + options["timeout"])
    return connection  # type: ignore[no-any-return]


class _Plain(request.HTTPHandler):
    def http_open(self, req: request.Request) -> HTTPResponse:
        """Send a request by http."""
        return self.do_open(partial(_connection, HTTPConnection), req)


class _Encrypted(request.HTTPSHandler):
    def __init__(self, ssl: tls.SSLContext | None) -> None:
        super().__init__(context=ssl)
        self._ssl = ssl

    def https_open(self, req: request.Request) -> HTTPResponse:
        """Send a request by https."""
        connect = partial(_connection, HTTPSConnection)
        return self.do_open(connect, req, context=self._ssl)
