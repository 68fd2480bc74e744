"""Which pages may open a WebSocket with a browser's credentials (RFC 6455 section 10.2).

Browsers let any page open a WebSocket to any server, and add the cookies that they have for that
server: without a check a foreign page acts in the name of the user who looks at it.
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from fastws.app.headers import Headers
from fastws.errors import HandshakeError

# An origin as browsers write it (RFC 6454 section 6.2): no user, no path, no spaces, and only one.
# Matched in lower case; names beyond ASCII are in punycode.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://"
    r"((?:[a-z0-9_-]+\.)*[a-z0-9_-]+\.?|\[[0-9a-f:.]+\])"
    r"(?::([0-9]{1,5}))?"
)
# No name of DNS is longer than 253, and nothing else in an origin is long.
_MAX_SIZE = 512
_PORTS = {"http": 80, "https": 443}
# A WebSocket belongs to the origin of the page that is served next to it.
_PAGES = {"ws": "http", "wss": "https"}


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "_Origin | None":
        match = _ORIGIN.fullmatch(text.lower()) if len(text) <= _MAX_SIZE else None
        if match is None:
            return None
        scheme, host, digits = match.groups()
        port = _PORTS.get(scheme) if digits is None else int(digits)
        if port is not None and port > 65535:
            return None
        if host.startswith("["):
            try:
                host = f"[{IPv6Address(host[1:-1])}]"
            except AddressValueError:
                return None
        return cls(scheme, host, port)


class OriginCheck:
    """Refuses handshakes that a page of another origin caused.

    A request with what browsers add by themselves (cookies, or an Authorization header other than
    Bearer) has to come from a page of the request's own origin, by its scheme and its Host header,
    or from an allowed one. All other requests pass, unless origins are given: then every request
    that has an Origin is checked. Where a proxy or TLS knows the user from something else, such as
    a client certificate, give ``allowed=[]``.

    Behind a proxy the scheme and the Host header are what the proxy says: it has to pass on
    ``Host`` and to send ``X-Forwarded-Proto``. The Host header is taken at its word, so this is
    no protection against DNS rebinding for servers that trust whoever can reach them.

    Args:
        allowed: further origins, such as ``https://app.example.com``,
            ``https://*.example.com`` (all names below example.com at any depth, not itself, as
            in Content-Security-Policy) or ``capacitor://localhost``.
        allow_missing: whether credentials may come without an Origin. Browsers always send one,
            so what comes without is a program, or has lost it on the way.

    Raises:
        ValueError: something in `allowed` is no origin, or would allow nearly everyone.
    """

    __slots__ = ("_allow_missing", "_always", "_exact", "_suffixes")

    def __init__(
        self, allowed: Iterable[str] | None = None, *, allow_missing: bool = False
    ) -> None:
        if isinstance(allowed, str):
            raise TypeError("allowed is a list of origins, not one")
        self._always = allowed is not None
        self._allow_missing = allow_missing
        origins = {_read_allowed(text) for text in allowed or ()}
        self._suffixes = {origin for origin in origins if origin.host.startswith(".")}
        self._exact = origins - self._suffixes

    def check(self, headers: Headers, scheme: str) -> None:
        """Looks at a handshake.

        Args:
            headers: of the request.
            scheme: ``ws`` or ``wss``, as in the ASGI scope.

        Raises:
            HandshakeError: with 403; the reason quotes nothing.
        """
        values = headers.get_all("origin")
        if not (_has_credentials(headers) or (self._always and values)):
            return
        if not values:
            if self._allow_missing:
                return
            raise HandshakeError(403, "the Origin header is missing")
        origin = _Origin.parse(values[0]) if len(values) == 1 else None
        if origin is None:
            raise HandshakeError(403, "the Origin header is not a single origin")
        own = _own_origin(headers, scheme)
        if origin == own or self._is_allowed(origin):
            return
        if own == ("http", origin.host, 80) and origin.scheme == "https":
            raise HandshakeError(
                403, "the page came by https, this request by http (see X-Forwarded-Proto)"
            )
        raise HandshakeError(403, "pages of this origin are not allowed")

    def _is_allowed(self, origin: _Origin) -> bool:
        return origin in self._exact or any(
            origin.host.endswith(suffix.host)
            and (origin.scheme, origin.port) == (suffix.scheme, suffix.port)
            for suffix in self._suffixes
        )


def _read_allowed(text: str) -> _Origin:
    """Reads an origin of the configuration; for a wildcard its host begins with a dot.

    Raises:
        ValueError: it is none, or allows too much.
    """
    scheme, wildcard, rest = text.partition("://*.")
    origin = _Origin.parse(f"{scheme}://{rest}" if wildcard else text)
    if origin is None:
        raise ValueError(
            f"{text!r} is not an origin such as https://example.com or https://*.example.com:8443, "
            f"in ASCII (xn--...) and without a path"
        )
    if origin.scheme in _PAGES:
        raise ValueError(f"{text!r}: an origin is that of a page, {_PAGES[origin.scheme]}://...")
    if not wildcard:
        return origin
    # Below a single label are the names of a whole registry, and below a number are none.
    labels = origin.host.rstrip(".").split(".")
    if len(labels) < 2 or not labels[-1][0].isalpha():
        raise ValueError(f"{text!r} would allow what belongs to others")
    return origin._replace(host=f".{origin.host}")


def _has_credentials(headers: Headers) -> bool:
    """Tells whether the request has what a browser adds by itself; a Bearer token it does not."""
    return "cookie" in headers or any(
        not value.lower().startswith("bearer ") for value in headers.get_all("authorization")
    )


def _own_origin(headers: Headers, scheme: str) -> _Origin | None:
    hosts = headers.get_all("host")
    if len(hosts) != 1:
        return None
    return _Origin.parse(f"{_PAGES.get(scheme, scheme)}://{hosts[0]}")
