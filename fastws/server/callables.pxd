# cython: language_level=3
"""``receive`` and ``send`` as an app gets them."""

from cpython.object cimport PyObject

from fastws.wire.frames cimport EXC, Done

ctypedef object (*Vectorcall)(object self, PyObject *const *args, size_t count, PyObject *names)


cdef class AsgiCallable:
    cdef Vectorcall vectorcall
    cdef object owner


cdef AsgiCallable asgi_callable(object owner, Vectorcall vectorcall)
cdef Done expect_arguments(Py_ssize_t expected, size_t count, PyObject *names) except EXC
