# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""What ``receive()`` and ``send()`` return, and how the task behind them is resumed.

A task that waits is resumed from within the read callback, synchronously: its callback is
called with the waiter, in the task's own context, as `asyncio.Future` would do one turn of
the loop later. Measured on an echo, this halves the cost of a message that was waited for.

Two objects, because `asyncio.isfuture` looks for ``_asyncio_future_blocking`` on the class:
`Receive` must not have it, or ``ensure_future(receive())`` would take it for a future and
give it back instead of a task. It yields a `Waiter`, which has it.
"""

from asyncio import CancelledError, InvalidStateError, current_task
from collections import deque

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

from fastws.wire.frames cimport DONE

cdef extern from "Python.h":
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1

cdef extern from "step.h":
    ctypedef int (*stepper "fastws_stepper")(PyObject *self, PyObject **result) except -1
    void install_slots "fastws_install_slots" (
        PyTypeObject *receive, stepper step, PyTypeObject *sent
    )


cdef class Receivable(Member):
    cdef bint has_next(self) noexcept:
        """Tells whether there is something to take."""
        return False

    cdef object take_next(self, bint many):
        """Takes the next event, or all of them; called only if `has_next`."""
        raise NotImplementedError

    cdef Done wake(self, bint idle) except EXC:
        """Resumes those who wait, in their order, while there is something to take.

        Args:
            idle: the caller knows that no task runs now. Asking is slow on Python 3.11: 1,400
                of the 15,600 instructions of an echo.
        """
        cdef Waiter waiter
        while self.parked is not None and self.has_next():
            waiter = self.parked
            self._unpark(waiter)
            if idle or current_task(self.hub.loop) is None:
                waiter.resume()
            else:
                waiter.resume_soon()
        return DONE

    cdef Waiter _park(self):
        cdef Waiter waiter = self.waiter
        if waiter is None:
            # Only one can be first in line, so only that one is kept for the next time.
            waiter = Waiter.__new__(Waiter)
            waiter.source = self
        else:
            self.waiter = None
        waiter.is_done = False
        waiter._asyncio_future_blocking = True
        if self.parked is None:
            self.parked = waiter
        else:
            if self.line is None:
                self.line = deque()
            self.line.append(waiter)
        return waiter

    cdef void _unpark(self, Waiter waiter):
        if waiter is self.parked:
            self.parked = self.line.popleft() if self.line else None
        elif self.line and waiter in self.line:
            self.line.remove(waiter)


cdef class Waiter:
    cdef Done resume(self) except EXC:
        """Continues the task that waits for this, before this returns.

        The task is given a future that is done already, not this object: of an `asyncio.Future`
        it takes the result without a method call (1,300 of 15,600 instructions of an echo).
        """
        callback, context = self.callback, self.context
        self.callback = self.context = None
        self.is_done = True
        if callback is None:
            return DONE
        PyContext_Enter(context)
        try:
            callback(self.source.hub.done)
        except BaseException as error:
            # Only SystemExit and KeyboardInterrupt leave a task's step. The loop passes them
            # on from a handle of its own; a transport would take them for its failure.
            self.source.hub.loop.call_soon(_raise, error)
        finally:
            PyContext_Exit(context)
        return DONE

    cdef Done resume_soon(self) except EXC:
        """Continues the task in a turn of its own: a step inside a step is not possible."""
        self.is_done = True
        if self.callback is not None:
            self.source.hub.loop.call_soon(self.callback, self, context=self.context)
        return DONE

    def get_loop(self):
        return self.source.hub.loop

    def add_done_callback(self, callback, *, context=None):
        self.callback = callback
        self.context = context

    def remove_done_callback(self, callback):
        if self.callback is None:
            return 0
        self.callback = self.context = None
        return 1

    def done(self):
        return self.is_done

    def cancelled(self):
        return self.cancelled_error is not None

    def cancel(self, msg=None):
        if self.is_done:
            return False
        self.is_done = True
        # With its message: anyio recognises its own cancellations by it.
        self.cancelled_error = CancelledError() if msg is None else CancelledError(msg)
        self.source._unpark(self)
        if self.callback is not None:
            self.source.hub.loop.call_soon(self.callback, self, context=self.context)
        return True

    def result(self):
        if self.cancelled_error is not None:
            raise self.cancelled_error
        if not self.is_done:
            raise InvalidStateError("nothing has been received yet")

    def exception(self):
        self.result()


def _raise(error):
    raise error


@cython.freelist(64)
cdef class Receive:
    cdef object step(self):
        """Gives the value, or, with `self.waiter` set, the waiter to yield.

        Nothing is taken before the task that awaits runs: a cancelled receive() loses nothing.
        """
        cdef Waiter waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.is_done:
                self.source._unpark(waiter)
            elif waiter.cancelled_error is None:
                self.source.waiter = waiter
        if self.source.has_next():
            return self.source.take_next(self.many)
        self.waiter = self.source._park()
        return self.waiter

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        result = self.step()
        if self.waiter is None:
            raise StopIteration(result)
        return result

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if traceback is not None:
            value = value.with_traceback(traceback)
        raise value

    def close(self):
        if self.waiter is not None:
            self.source._unpark(self.waiter)
            self.waiter = None


cdef int _step(PyObject *receive, PyObject **result) except -1:
    value = (<Receive>receive).step()
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return (<Receive>receive).waiter is None




cdef class Sent:
    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        # Compiles to a bare NULL, which means the same and allocates nothing.
        raise StopIteration

    def send(self, value):
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value

    def close(self):
        pass


install_slots(<PyTypeObject *>Receive, _step, <PyTypeObject *>Sent)

# One for all: it has no state.
SENT = Sent()


async def failed(error):
    """Gives an awaitable that raises: what goes wrong in send() comes out of its await."""
    raise error
