"""The ASGI scope of a WebSocket, field for field as uvicorn makes it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from fastws.wire.handshake import UpgradeRequest

Address = tuple[str, int | None] | None


def websocket_scope(
    request: UpgradeRequest,
    connection: Any,
    asgi_version: str,
    root_path: str,
    scheme: str,
    server: Address,
    client: Address,
    state: Mapping[str, Any],
) -> dict[str, Any]:
    """Builds the scope (ASGI specification, "WebSocket Connection Scope").

    Every dict in it is new: apps and middleware write into them.

    Args:
        connection: what `scope["extensions"]["fastws"]` offers.
    """
    raw_path, _, query_string = request.target.partition(b"?")
    path = raw_path.decode("ascii")
    return {
        "type": "websocket",
        "asgi": {"version": asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": scheme,
        "server": server,
        "client": client,
        "root_path": root_path,
        "path": root_path + (unquote(path) if "%" in path else path),
        "raw_path": root_path.encode("ascii") + raw_path,
        "query_string": query_string,
        "headers": request.headers,
        "subprotocols": request.subprotocols,
        "state": dict(state),
        "extensions": {"websocket.http.response": {}, "fastws": {"connection": connection}},
    }


def describe(scope: Mapping[str, Any]) -> tuple[str, str]:
    """Gives client and path for a log line.

    Without the query, which may hold a token, and without control characters, which could forge
    another line.
    """
    client = scope["client"]
    return f"{client[0]}:{client[1]}" if client else "", quote(scope["path"])
