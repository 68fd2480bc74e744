# cython: language_level=3
"""What the connections of one event loop share, so that an idle one costs next to nothing."""

from libc.stdint cimport uint8_t

from fastws.aio.counters cimport Counters
from fastws.wire.frames cimport EXC, Done, Output, flag


cdef struct Buffered:
    size_t unsent
    size_t unread


cdef class Member:
    """What the hub knows of a connection."""

    cdef Hub hub
    cdef Member before              # neighbours in `hub.members`; a member has both
    cdef Member after
    cdef flag dirty                 # in `hub.dirty`, to be flushed in this turn of the loop

    cdef Done flush(self) except EXC
    cdef Done sweep(self, double now) except EXC
    cdef Done add_buffered(self, Buffered *sums) except EXC


cdef class Hub:
    cdef readonly object loop
    cdef unsigned long thread       # that the loop runs in
    cdef readonly Counters counters  # of the connections that are a server's
    cdef object done                # a future that is: see Waiter.resume
    cdef object context             # for callbacks that need none of their own
    # Reads of all connections go here: the bytes live until the next read of any of them.
    cdef bytearray read_buffer
    cdef readonly object read_view
    cdef uint8_t *read_data
    # What the connection that is being read sends meanwhile; lent to one at a time.
    cdef Output output
    cdef Output scratch             # for a frame that is made outside of a read
    cdef Member members             # a ring of those in the sweep, and its fixed point
    cdef list dirty
    cdef Output shared              # frames for many, until the flush: see Writer.share
    cdef object timer
    cdef double interval
    cdef dict deadlines             # of requests whose head is not complete, by protocol
    cdef list draining
    cdef double drain_until

    cdef Output borrow(self)
    cdef void give_back(self, Output output) noexcept
    cdef Done mark_dirty(self, Member member) except EXC
    cdef Done flush(self, Py_ssize_t most) except EXC
    cdef Done join(self, Member member, double deadline) except EXC
    cdef Done leave(self, Member member) except EXC
    cdef Done _watch(self, double deadline) except EXC


cpdef Hub hub_of(object loop)
