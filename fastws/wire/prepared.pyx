# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""A message that is encoded once, for any number of connections.

Frames of a server are not masked, and without context takeover they do not depend on what was
sent before: one frame, or one for each way to compress, serves a whole room.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from fastws.wire.connection cimport Connection
from fastws.wire.frames cimport OP_BINARY, OP_TEXT, Output


cdef class PreparedMessage:
    def __init__(self, message):
        if isinstance(message, str):
            self.opcode = OP_TEXT
            self.payload = message.encode()
        else:
            self.opcode = OP_BINARY
            self.payload = bytes(memoryview(message))

    cdef bytes frame_for(self, Connection connection):
        """Gives the frame for a connection, or None if that has to write its own."""
        compression = connection.compression
        if not connection.is_server:
            return None
        if compression is None or <size_t>len(self.payload) < compression.threshold:
            if self.plain is None:
                self.plain = self._encode(connection)
            return self.plain
        if not compression.reset_deflater:
            return None
        if self.compressed is None:
            self.compressed = {}
        frame = self.compressed.get(compression.deflater)
        if frame is None:
            frame = self.compressed[compression.deflater] = self._encode(connection)
        return frame

    def _encode(self, Connection connection):
        cdef Output out = Output()
        connection.write_message(
            self.opcode,
            <uint8_t *>PyBytes_AS_STRING(self.payload),
            PyBytes_GET_SIZE(self.payload),
            True,
            out,
        )
        return out.take()
