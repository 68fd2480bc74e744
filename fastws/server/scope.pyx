# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The ASGI scope of a WebSocket, field for field as uvicorn makes it."""

from urllib.parse import quote, unquote

from fastws.aio.fanout import publish
from fastws.wire.prepared import PreparedMessage

from fastws.wire.handshake cimport UpgradeRequest

cdef enum:
    # Bytes that a log line has of the path of a request that nobody has checked.
    MAX_LOGGED = 200


cdef dict websocket_scope(
    UpgradeRequest request,
    object connection,
    object counters,
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
        counters: the same, of all connections of the loop.
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
        "extensions": {
            "websocket.http.response": {},
            "fastws": {
                "connection": connection,
                "counters": counters,
                "prepare": PreparedMessage,
                "publish": publish,
            },
        },
    }


cdef tuple describe(dict scope):
    """Gives client and path for a log line.

    Without the query, which may hold a token, and without control characters, which could forge
    another line.
    """
    return _name(scope["client"]), quote(scope["path"])


def describe_request(client, target: bytes) -> tuple:
    """Gives the same for a request that is refused: its target may be anything."""
    path = target.partition(b"?")[0]
    return _name(client), quote(path[:MAX_LOGGED], safe="/%:@!$&'()*+,;=")


def find_target(head: bytes) -> bytes:
    """Gives the request target of a head that is not known to have one."""
    words = head.partition(b"\r\n")[0].split(b" ", 2)
    return words[1] if len(words) > 1 else b""


cdef str _name(client):
    # Proxies tell who the client is, and so do clients whom they let.
    return f"{quote(client[0], ':%')}:{client[1]}" if client else ""
