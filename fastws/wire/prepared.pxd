# cython: language_level=3
"""A message that is encoded once, for any number of connections."""

from libc.stdint cimport uint8_t

from fastws.wire.connection cimport Connection


cdef class PreparedMessage:
    cdef readonly bytes payload
    cdef readonly uint8_t opcode
    cdef bytes plain                # the frame as it is, once somebody needed it
    cdef dict compressed            # the same by the shared Deflater that made it

    cdef bytes frame_for(self, Connection connection)
