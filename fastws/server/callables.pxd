# cython: language_level=3
"""``receive`` and ``send`` as an app gets them."""

from cpython.object cimport PyObject

ctypedef object (*Method)(object owner, object event)
ctypedef object (*Vectorcall)(object self, PyObject *const *args, size_t count, PyObject *names)


cdef class AsgiCallable:
    cdef Vectorcall vectorcall
    cdef object owner
    cdef Method method
    cdef int arguments


cdef AsgiCallable asgi_callable(object owner, Method method, int arguments)
