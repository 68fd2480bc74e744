# cython: language_level=3
"""Limits as C numbers."""

from libc.stdint cimport uint32_t


cdef class Bounds:
    """Limits as C numbers; one for all connections with the same `Limits`."""

    cdef readonly object limits
    # What is off is as large as can be; half of the range, so that one more is a number, too.
    cdef size_t max_frame
    cdef size_t max_message
    cdef size_t max_compressed      # of a compressed message, before it is inflated
    cdef size_t max_wire
    cdef uint32_t max_tiny
    cdef uint32_t queue_messages
    cdef size_t queue_size
    cdef size_t write_buffer
    cdef size_t unsent
    cdef uint32_t ping_rate         # 0: off, as for the times
    cdef double message_timeout
    cdef double ping_interval
    cdef double ping_timeout
    cdef double close_timeout
    cdef double max_lifetime
    cdef double shortest


cdef Bounds bounds_of(object limits)
