# cython: language_level=3
"""The limits that an endpoint looks at, as C numbers."""

from libc.stdint cimport uint32_t


cdef class Bounds:
    """The limits that an endpoint looks at, as C numbers; one for all with the same Limits."""

    cdef readonly object limits
    cdef uint32_t queue_messages
    cdef size_t queue_size
    cdef size_t write_buffer
    cdef size_t unsent
    cdef uint32_t ping_rate         # 0: off, as for the times
    cdef double message_timeout
    cdef double ping_interval
    cdef double ping_timeout
    cdef double close_timeout
    cdef double shortest


cdef Bounds bounds_of(object limits)
