"""Where a bearer token is in an opening handshake (RFC 6750 section 2).

Each source gives every token that it finds in an ASGI scope, so that two can be refused. A
source of one's own is a function of the same type.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from fastws.app.headers import Headers, cookie_pairs

Scope = Mapping[str, Any]
Source = Callable[[Scope], list[str]]

SCHEME = "bearer"


def header(scope: Scope) -> list[str]:
    """Finds the token of ``Authorization: Bearer <token>``; other schemes are not ours."""
    found = []
    for value in _headers(scope).get_all("authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == SCHEME:
            found.append(token.strip(" "))
    return found


def subprotocol(scope: Scope) -> list[str]:
    """Finds the token after the subprotocol ``bearer``.

    It is how browsers send one, since they cannot set headers:
    ``new WebSocket(url, ["bearer", token])``. Every JWT may stand there: it consists of
    letters, digits, ``-``, ``_`` and ``.``, which RFC 6455 section 4.1 allows. The server has
    to accept a subprotocol that was offered, and not the token: see `accepted_subprotocol`.
    """
    offered = [*scope.get("subprotocols", ()), ""]
    return [token for name, token in pairwise(offered) if _names_us(name)]


def cookie(name: str) -> Source:
    """Gives a source that finds the token in a cookie.

    Browsers send cookies unasked, whatever page opens the WebSocket, so this needs the Origin
    check. A name that starts with ``__Host-`` cannot be set by a neighbouring subdomain.
    """

    def find(scope: Scope) -> list[str]:
        return [value for found, value in cookie_pairs(_headers(scope)) if found == name]

    return find


def query(name: str = "access_token") -> Source:
    """Gives a source that finds the token in the query string.

    A URL is what proxies and servers log, and what a browser keeps and shows, so this is for
    clients that can do nothing else, with tokens that live for seconds.
    """

    def find(scope: Scope) -> list[str]:
        text = scope.get("query_string", b"").decode("latin-1")
        return [value for found, value in parse_qsl(text, keep_blank_values=True) if found == name]

    return find


def accepted_subprotocol(scope: Scope) -> str | None:
    """Gives the subprotocol that answers a token's offer, as the client spells it, or None.

    A browser fails the connection if none of what it offered comes back.
    """
    return next((name for name in scope.get("subprotocols", ()) if _names_us(name)), None)


def _names_us(name: str) -> bool:
    # A subprotocol's name is case-sensitive, an authentication scheme (RFC 9110 section 11.1)
    # is not; people write both spellings.
    return name.lower() == SCHEME


def _headers(scope: Scope) -> Headers:
    return Headers(scope.get("headers", ()))
