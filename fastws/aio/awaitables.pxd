# cython: language_level=3
"""What ``receive()`` and ``send()`` return, and how the task behind them is resumed."""

from fastws.aio.hub cimport Member
from fastws.wire.frames cimport EXC, Done


cdef class Receivable(Member):
    """A connection that coroutines wait for."""

    cdef Waiter waiter              # made when first needed, then used again
    cdef Waiter parked              # the one that is first in line, or None
    cdef object line                # a deque of those behind it, or None

    cdef bint has_next(self) noexcept
    cdef object take_next(self, bint many)
    cdef Done wake(self, bint idle) except EXC
    cdef Waiter _park(self)
    cdef void _unpark(self, Waiter waiter)


cdef class Waiter:
    """What a task waits for: as much of a future as a task needs, without its loop turn."""

    cdef Receivable source
    cdef public bint _asyncio_future_blocking
    cdef bint is_done
    cdef object cancelled_error     # a CancelledError once cancelled
    cdef object callback
    cdef object context

    cdef Done resume(self) except EXC
    cdef Done resume_soon(self) except EXC


cdef class Receive:
    """What ``receive()`` returns: a coroutine in all but type."""

    cdef Receivable source
    cdef Waiter waiter              # while parked
    cdef bint many

    cdef object step(self)


cdef class Sent:
    """What ``send()`` returns when there is nothing to wait for."""
