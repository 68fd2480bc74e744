# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""What ``receive()`` and ``send()`` return, and how the task behind them is resumed.

A task that waits is resumed from within the read callback, synchronously: its callback is
called, in the task's own context, as `asyncio.Future` would do one turn of the loop later.
Measured on an echo, this halves the cost of a message that was waited for. The task of an app
is spared even that: see `Driver`.

Two objects, because `asyncio.isfuture` looks for ``_asyncio_future_blocking`` on the class:
`Receive` must not have it, or ``ensure_future(receive())`` would take it for a future and
give it back instead of a task. It yields a `Waiter`, which has it.
"""

from _asyncio import _enter_task, _leave_task
from asyncio import CancelledError, InvalidStateError, current_task, isfuture
from collections import deque

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT

from fastws.aio.hub cimport Hub
from fastws.wire.frames cimport DONE

cdef extern from "Python.h":
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1

cdef extern from "step.h":
    ctypedef int (*stepper "fastws_stepper")(PyObject *self, PyObject **result) except -1
    void install_slots "fastws_install_slots" (
        PyTypeObject *receive,
        stepper receive_step,
        PyTypeObject *sent,
        PyTypeObject *driver,
        stepper driver_step,
    )
    int step_coroutine "fastws_step" (object coroutine, PyObject **result) except -1


cdef class Receivable(Member):
    cdef bint has_next(self) noexcept:
        """Tells whether there is something to take."""
        return False

    cdef object take_next(self, object form):
        """Takes what is next, in a form that the subclass knows; called only if `has_next`.

        What is to be passed over comes as NotImplemented.
        """
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
            if not idle and current_task(self.hub.loop) is not None:
                waiter.resume_soon()
            elif waiter.driver is not None:
                waiter.driver.resume(waiter)
            else:
                waiter.resume()
        return DONE

    cdef Done on_task_done(self, object task) except EXC:
        """Called when a task is done whose coroutine is a `Driver`."""
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
        waiter.cancelled_error = waiter.driver = None
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
        """Continues the task that waits for this, before this returns."""
        callback, context = self.callback, self.context
        self.callback = self.context = self.driver = None
        self.is_done = True
        if callback is not None:
            _call(callback, context, self.source.hub)
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
            if self.driver is not None:
                self.driver.cancel_asked = True
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


cdef class DoneCallback:
    """Called by an app's task when it is done.

    Smaller than a bound method. Not the `Driver`: a loop in debug mode takes no coroutine for a
    callback.
    """

    cdef Receivable source

    def __call__(self, task):
        source, self.source = self.source, None
        (<Receivable>source).on_task_done(task)


cdef class Driver:
    """The coroutine of an app's task: steps the app's own, with or without the task.

    To a task, a message is a wake-up: find out what was yielded, register a callback with it,
    later call that back. All this is the same each time, as long as the app yields nothing but
    the waiter of its own connection. So the task is left as it is, waiting for that waiter, and
    the app's coroutine is stepped here, with the task as the current one and in its context.
    Only when the app yields something else, returns, raises or cancels its own task, the task is
    woken, and finds it here. (callgrind: 2,000 of the 11,200 instructions of an echo.)
    """

    def __init__(self, app, Receivable source):
        self.app = app
        self.source = source

    def drive(self, task):
        """Tells which task this is the coroutine of."""
        cdef DoneCallback callback = DoneCallback.__new__(DoneCallback)
        callback.source = self.source
        # Not in a copy of the current context: that takes as much as a message that waits.
        task.add_done_callback(callback, context=self.source.hub.context)
        if self.app is not None:
            self.task = task

    cdef Done resume(self, Waiter waiter) except EXC:
        """Steps the app without its task, which waits for the waiter and goes on doing so."""
        cdef PyObject *result = NULL
        cdef int returned = 0
        # What the task registered. The app could lend the waiter to another task meanwhile.
        callback, context = waiter.callback, waiter.context
        if self.task is None:
            return waiter.resume()
        waiter.callback = waiter.context = None
        waiter.is_done = True
        hub = self.source.hub
        _enter_task(hub.loop, self.task)
        try:
            PyContext_Enter(context)
            try:
                returned = step_coroutine(self.app, &result)
            except BaseException as error:
                self.error = error
            PyContext_Exit(context)
        finally:
            _leave_task(hub.loop, self.task)
        if result != NULL:
            self.yielded = <object>result
            Py_DECREF(self.yielded)
        if self.yielded is waiter and not self.cancel_asked:
            # The app waits for its next message: for the task, nothing has changed.
            self.yielded = None
            waiter.callback = callback
            waiter.context = context
            waiter.driver = self
            return DONE
        self.ahead = True
        self.returned = returned
        self.cancel_asked = False
        return _call(callback, context, hub)

    cdef int step(self, PyObject **result) except -1:
        """Steps the app for its task; or tells what an earlier step has come to."""
        cdef int returned
        cdef object yielded
        if self.ahead:
            self.ahead = False
            if self.error is not None:
                error = self._end()
                raise error
            returned = self.returned
            yielded, self.yielded = self.yielded, None
            Py_INCREF(yielded)
            result[0] = <PyObject *>yielded
        else:
            try:
                returned = step_coroutine(self.app, result)
            except BaseException:
                self._end()
                raise
        if returned:
            self._end()
        elif type(<object>result[0]) is Waiter:
            if (<Waiter>result[0]).source is self.source:
                (<Waiter>result[0]).driver = self
        return returned

    def _end(self):
        """Breaks the circle of task and driver; gives the app's exception."""
        error = self.error
        self.app = self.task = self.error = None
        return error

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject *result = NULL
        if self.step(&result):
            value = <object>result
            Py_DECREF(value)
            raise StopIteration(value)
        value = <object>result
        Py_DECREF(value)
        return value

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if self.ahead:
            # The app has cancelled its own task; in the same step it went on, to its end or to
            # something to wait for, which is cancelled if it can be.
            self.ahead = False
            yielded, self.yielded = self.yielded, None
            if self.error is not None or self.returned:
                error = self._end() or value
                raise error
            if isfuture(yielded) and type(yielded) is not Waiter:
                if yielded.cancel(*value.args):
                    return yielded
        try:
            yielded = self.app.throw(value)
        except BaseException:
            self._end()
            raise
        if type(yielded) is Waiter and (<Waiter>yielded).source is self.source:
            (<Waiter>yielded).driver = self
        return yielded

    def close(self):
        if self.app is not None:
            self.app.close()

    def __getattr__(self, name):
        """Lets the app's coroutine answer: its name, its frame, its state."""
        return getattr(self.app, name)


cdef int _driver_step(PyObject *driver, PyObject **result) except -1:
    return (<Driver>driver).step(result)


cdef Done _call(callback, context, Hub hub) except EXC:
    """Calls back a task, in its context.

    The task is given a future that is done, not the waiter: of an `asyncio.Future` it takes
    the result without a method call (1,300 of 15,600 instructions of an echo).
    """
    PyContext_Enter(context)
    try:
        callback(hub.done)
    except BaseException as error:
        # Only SystemExit and KeyboardInterrupt leave a task's step. The loop passes them
        # on from a handle of its own; a transport would take them for its failure.
        hub.loop.call_soon(_raise, error)
    finally:
        PyContext_Exit(context)
    return DONE


def _raise(error):
    raise error


cdef object NOTHING = NotImplemented


@cython.freelist(64)
cdef class Receive:
    cdef object step(self):
        """Gives the value, or, with `self.waiter` set, the waiter to yield.

        Nothing is taken before the task that awaits runs: a cancelled receive() loses nothing.
        """
        cdef Waiter waiter = self.waiter
        cdef Receivable source = self.source
        if source is None:
            raise RuntimeError("what receive() returned is awaited once more")
        if waiter is not None:
            self.waiter = None
            if not waiter.is_done:
                source._unpark(waiter)
            elif waiter.cancelled_error is None:
                source.waiter = waiter
        while source.has_next():
            # This may be kept for the next time: it must not keep the source.
            form, self.form, self.source = self.form, None, None
            value = source.take_next(form)
            if value is not NOTHING:
                return value
            self.form, self.source = form, source
        self.waiter = source._park()
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
        self.waiter = self.source = self.form = None


cdef Receive receive_from(Receivable source, object form):
    """Gives something to await the next message with, in a form that the source knows."""
    cdef Receive awaitable = source.spare
    # Two references: this one, and the source's.
    if awaitable is None or Py_REFCNT(awaitable) > 2 or awaitable.waiter is not None:
        awaitable = source.spare = Receive.__new__(Receive)
    awaitable.source = source
    awaitable.form = form
    return awaitable


cdef int _receive_step(PyObject *receive, PyObject **result) except -1:
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


install_slots(
    <PyTypeObject *>Receive,
    _receive_step,
    <PyTypeObject *>Sent,
    <PyTypeObject *>Driver,
    _driver_step,
)

# One for all: it has no state.
SENT = Sent()


async def failed(error):
    """Gives an awaitable that raises: what goes wrong in send() comes out of its await."""
    raise error
