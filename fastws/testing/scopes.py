"""What apps are called with; a WebSocket's scope comes of the head that a client would send."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from fastws.limits import Limits
from fastws.wire.handshake import parse_request
from fastws.wire.opening import Headers as AnyHeaders
from fastws.wire.opening import Opening, parse_uri

Scope = dict[str, Any]
Address = tuple[str, int]

CLIENT: Address = ("127.0.0.1", 50000)
SERVER: Address = ("127.0.0.1", 80)
ASGI = {"version": "3.0", "spec_version": "2.4"}


def websocket_scope(
    target: str, headers: AnyHeaders | None, subprotocols: Sequence[str], client: Address | None
) -> Scope:
    """Builds the scope of a WebSocket (ASGI specification, "WebSocket Connection Scope").

    Raises:
        ValueError: a client could not send this.
    """
    address = parse_uri(f"ws://localhost{_checked(target)}")
    limits = Limits()
    opening = Opening(address, headers, subprotocols, None, limits)
    request = parse_request(opening.request, limits.max_header_count)
    return {
        **_connection_scope(target, client),
        "type": "websocket",
        "scheme": "ws",
        "headers": request.headers,
        "subprotocols": request.subprotocols,
        "extensions": {"websocket.http.response": {}},
    }


def http_scope(target: str, headers: AnyHeaders | None, client: Address | None) -> Scope:
    """Builds the scope of a GET request (ASGI specification, "HTTP Connection Scope")."""
    parse_uri(f"ws://localhost{_checked(target)}")
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    encoded = [(_latin(name).lower(), _latin(value)) for name, value in pairs]
    if not any(name == b"host" for name, _ in encoded):
        encoded.insert(0, (b"host", b"localhost"))
    return {
        **_connection_scope(target, client),
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "headers": encoded,
        "extensions": {},
    }


def _connection_scope(target: str, client: Address | None) -> Scope:
    path, _, query = target.partition("?")
    return {
        "asgi": dict(ASGI),
        "http_version": "1.1",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "client": client,
        "server": SERVER,
        "state": {},
    }


def _checked(target: str) -> str:
    if not target.startswith("/"):
        raise ValueError(f"{target!r} is no path; give one such as '/chat?room=1'")
    return target


def _latin(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text
