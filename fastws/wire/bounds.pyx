# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Limits as C numbers."""

from libc.stdint cimport SIZE_MAX, UINT32_MAX

cdef enum:
    # What a compressed message may have besides twice the size of what it says. No compressor
    # needs as much; one that flushes after every few bytes comes near it.
    COMPRESSED_MORE = 64 * 1024
    # An app may make limits for each connection; of so many, some are still in use.
    KEEP_BOUNDS = 256


cdef size_t _size(limit) except? 0:
    return SIZE_MAX >> 1 if limit is None else min(limit, SIZE_MAX >> 1)


cdef class Bounds:
    def __init__(self, limits):
        self.limits = limits
        self.max_frame = _size(limits.max_frame_size)
        self.max_message = _size(limits.max_message_size)
        self.max_compressed = min(2 * self.max_message, SIZE_MAX >> 1) + COMPRESSED_MORE
        self.max_wire = _size(limits.max_wire_size)
        tiny = limits.max_tiny_fragments
        self.max_tiny = UINT32_MAX if tiny is None else min(tiny, UINT32_MAX)
        self.queue_messages = limits.max_queue_messages
        self.queue_size = limits.max_queue_size
        self.write_buffer = limits.max_write_buffer
        self.unsent = limits.max_unsent
        self.ping_rate = limits.max_ping_rate or 0
        self.message_timeout = limits.message_timeout or 0
        self.ping_interval = limits.ping_interval or 0
        self.ping_timeout = limits.ping_timeout or 0
        self.close_timeout = limits.close_timeout
        self.max_lifetime = limits.max_lifetime or 0
        times = (
            self.message_timeout,
            self.ping_interval,
            self.ping_timeout,
            self.close_timeout,
            self.max_lifetime,
        )
        self.shortest = min(time for time in times if time or time is self.close_timeout)


cdef dict _bounds = {}
cdef Bounds _last_bounds = None


cdef Bounds bounds_of(limits):
    global _last_bounds
    # Mostly the same object as for the connection before; hashing it takes all its fields.
    if _last_bounds is None or _last_bounds.limits is not limits:
        _last_bounds = _bounds.get(limits)
        if _last_bounds is None:
            if len(_bounds) >= KEEP_BOUNDS:
                _bounds.clear()
            _last_bounds = _bounds[limits] = Bounds(limits)
    return _last_bounds
