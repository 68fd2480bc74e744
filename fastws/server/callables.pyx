# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""``receive`` and ``send`` as an app gets them.

They are no coroutine functions, since those would cost a coroutine each time. But libraries
that look (asgiref warns, and Channels uses it) are told that they are to be awaited, which a
method of a compiled class could not tell.
"""

import inspect
from asyncio import coroutines

from cpython.object cimport PyTypeObject

from fastws.wire.frames cimport DONE

cdef extern from "callables.h":
    void install_vectorcall "fastws_install_vectorcall" (PyTypeObject *type, Py_ssize_t offset)
    int set_type_attribute "fastws_set_type_attribute" (
        PyTypeObject *type, object name, object value
    ) except -1

cdef extern from "Python.h":
    Py_ssize_t PyVectorcall_NARGS(size_t)


def _marks() -> dict:
    """Gives the attributes by which a callable says that what it returns is to be awaited."""
    if hasattr(inspect, "markcoroutinefunction"):  # since 3.12
        return vars(inspect.markcoroutinefunction(lambda: None))
    return {"_is_coroutine": coroutines._is_coroutine}


cdef class AsgiCallable:
    pass


cdef Done expect_arguments(Py_ssize_t expected, size_t count, PyObject *names) except EXC:
    """Checks what a vectorcall function was called with: positional arguments, and how many."""
    cdef Py_ssize_t n = PyVectorcall_NARGS(count)
    if n != expected or names != NULL:
        raise TypeError(f"expected {expected} positional arguments, got {n}")
    return DONE


cdef AsgiCallable asgi_callable(object owner, Vectorcall vectorcall):
    cdef AsgiCallable made = AsgiCallable.__new__(AsgiCallable)
    made.vectorcall = vectorcall
    made.owner = owner
    return made


for _name, _value in _marks().items():
    set_type_attribute(<PyTypeObject *>AsgiCallable, _name, _value)

cdef AsgiCallable _first = asgi_callable(None, NULL)
install_vectorcall(
    <PyTypeObject *>AsgiCallable, <char *>&_first.vectorcall - <char *><PyObject *>_first
)
