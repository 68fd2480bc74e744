# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""``receive`` and ``send`` as an app gets them.

They are no coroutine functions, since those would cost a coroutine each time. But libraries
that look (asgiref warns, and Channels uses it) are told that they are to be awaited, which a
method of a compiled class could not tell.
"""

import inspect
from asyncio import coroutines

from cpython.object cimport PyTypeObject

cdef extern from "callables.h":
    void install_vectorcall "fastws_install_vectorcall" (PyTypeObject *type, Py_ssize_t offset)

cdef extern from "Python.h":
    Py_ssize_t PyVectorcall_NARGS(size_t)


cdef class AsgiCallable:
    # What asyncio.iscoroutinefunction and, since 3.12, inspect.iscoroutinefunction look for.
    _is_coroutine = getattr(coroutines, "_is_coroutine", None)
    _is_coroutine_mark = getattr(inspect, "_is_coroutine_mark", None)


cdef object _call(object self, PyObject *const *args, size_t count, PyObject *names):
    cdef AsgiCallable called = <AsgiCallable>self
    cdef Py_ssize_t n = PyVectorcall_NARGS(count)
    if n != called.arguments or names != NULL:
        raise TypeError(f"expected {called.arguments} positional arguments, got {n}")
    return called.method(called.owner, <object>args[0] if n else None)


cdef AsgiCallable asgi_callable(object owner, Method method, int arguments):
    cdef AsgiCallable made = AsgiCallable.__new__(AsgiCallable)
    made.vectorcall = _call
    made.owner = owner
    made.method = method
    made.arguments = arguments
    return made


cdef AsgiCallable _first = asgi_callable(None, NULL, 0)
install_vectorcall(
    <PyTypeObject *>AsgiCallable, <char *>&_first.vectorcall - <char *><PyObject *>_first
)
