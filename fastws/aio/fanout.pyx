# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""One message to many connections.

Of what a loop's turn sends to many, there is one copy, `hub.shared`, and one system call for each
connection: all that it is to get lies there in one piece, in the usual case.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from fastws.aio.endpoint cimport Endpoint
from fastws.aio.hub cimport Hub
from fastws.wire.prepared cimport PreparedMessage
from fastws.wire.reader cimport Phase

cdef enum:
    # A larger frame is not copied, but referred to.
    LARGE = 16 * 1024
    # What has been collected for a turn is sent from here on, before the turn is over.
    FLUSH_AT = 64 * 1024


def publish(dict members not None, PreparedMessage message not None, exclude=None):
    cdef PyObject *key
    cdef PyObject *value
    cdef Py_ssize_t at = 0
    cdef size_t n = 0, sent = 0
    cdef uint32_t end = 0
    cdef Endpoint endpoint
    cdef Hub hub = None
    cdef bytes frame
    cdef list behind = []
    # No app code runs in here, so nobody joins or leaves meanwhile.
    while PyDict_Next(members, &at, &key, &value):
        endpoint = <Endpoint?><object>key
        if endpoint is exclude:
            continue
        if endpoint.lost:
            # Its app has not noticed, and never will if it does not receive.
            behind.append(<object>value)
            continue
        if endpoint.connection is None or endpoint.connection.phase != Phase.OPEN:
            continue
        if endpoint.blocked or endpoint.on_writable is not None:
            behind.append(<object>value)
            continue
        frame = message.frame_for(endpoint.connection)
        if frame is None or endpoint.out is not None:
            endpoint.write_prepared(message)
            continue
        sent += endpoint.is_server
        if frame is message.plain and PyBytes_GET_SIZE(frame) < LARGE:
            if end == 0:
                n = PyBytes_GET_SIZE(frame)
                hub = endpoint.hub
                hub.shared.append(PyBytes_AS_STRING(frame), n)
                end = hub.shared.size
            if endpoint.share(end, n):
                continue
        endpoint.queue(frame)
    if sent:
        endpoint.hub.counters.messages_sent += sent
        endpoint.hub.counters.bytes_sent += sent * PyBytes_GET_SIZE(message.payload)
    if hub is not None and hub.shared.size >= FLUSH_AT:
        hub.flush(len(hub.dirty))
    return behind
