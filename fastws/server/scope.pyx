# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The ASGI scope of a WebSocket, field for field as uvicorn makes it."""

from urllib.parse import quote, unquote

from fastws.wire.handshake cimport UpgradeRequest


cdef dict websocket_scope(
    UpgradeRequest request,
    object connection,
    str asgi_version,
    str root_path,
    str scheme,
    object server,
    object client,
    object state,
):
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


cdef tuple describe(dict scope):
    """Gives client and path for a log line.

    Without the query, which may hold a token, and without control characters, which could forge
    another line.
    """
    client = scope["client"]
    # Proxies tell who the client is, and so do clients whom they let.
    name = f"{quote(client[0], ':%')}:{client[1]}" if client else ""
    return name, quote(scope["path"])
