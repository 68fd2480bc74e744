# cython: language_level=3
"""The ASGI scope of a WebSocket, field for field as uvicorn makes it."""

from fastws.wire.handshake cimport UpgradeRequest


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
)
cdef tuple describe(dict scope)
