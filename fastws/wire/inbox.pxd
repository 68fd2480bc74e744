# cython: language_level=3
"""Received messages that wait for the app."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from fastws.wire.frames cimport EXC, Done


cdef struct Entry:
    PyObject *payload   # owned
    size_t size
    uint8_t opcode


cdef class Inbox:
    """Received messages, in a ring that grows; each entry owns a reference."""

    cdef Entry *entries
    cdef uint32_t capacity
    cdef uint32_t first
    cdef readonly uint32_t count
    cdef readonly size_t size           # bytes of all payloads

    cdef Done push(self, object payload, uint8_t opcode, size_t n) except EXC
    cdef object pop(self, uint8_t *opcode)
    cdef Done _grow(self) except EXC
