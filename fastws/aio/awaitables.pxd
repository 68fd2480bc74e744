# cython: language_level=3
"""What ``receive()`` and ``send()`` return, and how the task behind them is resumed."""

from cpython.object cimport PyObject

from fastws.aio.hub cimport Member
from fastws.wire.frames cimport EXC, Done, flag


cdef class Receivable(Member):
    """A connection that coroutines wait for."""

    cdef Waiter waiter              # made when first needed, then used again
    cdef Waiter parked              # the one that is first in line, or None
    cdef object line                # a deque of those behind it, or None
    cdef Receive spare              # what was awaited last, for the next time

    cdef bint has_next(self) noexcept
    cdef object take_next(self, object form)
    cdef Done wake(self, bint idle) except EXC
    cdef Done on_task_done(self, object task) except EXC
    cdef Waiter _park(self)
    cdef void _unpark(self, Waiter waiter)


cdef class Waiter:
    """What a task waits for: as much of a future as a task needs, without its loop turn."""

    cdef Receivable source
    cdef public flag _asyncio_future_blocking
    cdef flag is_done
    cdef object cancelled_error     # a CancelledError once cancelled
    cdef object callback
    cdef object context
    cdef Driver driver              # of the task that waits, if it has one

    cdef Done resume(self) except EXC
    cdef Done resume_soon(self) except EXC


cdef class Driver:
    """The coroutine of an app's task: steps the app's own, with or without the task."""

    cdef Receivable source
    cdef object app                 # the app's coroutine
    cdef object task
    cdef flag ahead                 # a step without the task has left something for it:
    cdef flag returned
    cdef flag cancel_asked          # the app has cancelled its own task in such a step
    cdef object yielded             # what the app yielded, or returned
    cdef object error               # or raised

    cdef Done resume(self, Waiter waiter) except EXC
    cdef int step(self, PyObject **result) except -1


cdef class Receive:
    """What ``receive()`` returns: a coroutine in all but type."""

    cdef Receivable source
    cdef Waiter waiter              # while parked
    cdef object form                # in which the next one is wanted; None for the usual

    cdef object step(self)


cdef Receive receive_from(Receivable source, object form)


cdef class Sent:
    """What ``send()`` returns when there is nothing to wait for."""
