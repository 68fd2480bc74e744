# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Received messages that wait for the app."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from fastws.wire.frames cimport DONE, EXC, Done

cdef enum:
    FIRST_INBOX = 8
    # A larger one is given back when it is empty.
    KEEP_INBOX = 64


cdef class Inbox:
    def __dealloc__(self):
        while self.count:
            Py_XDECREF(self.entries[self.first].payload)
            self.first = (self.first + 1) & (self.capacity - 1)
            self.count -= 1
        free(self.entries)

    cdef Done push(self, object payload, uint8_t opcode, size_t n) except EXC:
        cdef Entry *entry
        if self.count == self.capacity:
            self._grow()
        # `capacity` is a power of two and above `count`: the index is in range.
        entry = &self.entries[(self.first + self.count) & (self.capacity - 1)]
        Py_INCREF(payload)
        entry.payload = <PyObject *>payload
        entry.opcode = opcode
        entry.size = n
        self.count += 1
        self.size += n
        return DONE

    cdef object pop(self, uint8_t *opcode):
        """Takes the oldest message; the caller has checked that there is one."""
        cdef Entry entry = self.entries[self.first]
        cdef object payload = <object>entry.payload
        Py_DECREF(payload)
        opcode[0] = entry.opcode
        self.first = (self.first + 1) & (self.capacity - 1)
        self.count -= 1
        if self.count == 0:
            self.size = 0
            if self.capacity > KEEP_INBOX:
                free(self.entries)
                self.entries = NULL
                self.capacity = self.first = 0
        else:
            self.size -= entry.size
        return payload

    cdef Done _grow(self) except EXC:
        cdef uint32_t capacity = 2 * self.capacity if self.capacity else FIRST_INBOX
        cdef Entry *entries
        if capacity > 1 << 30:
            raise MemoryError()
        entries = <Entry *>calloc(capacity, sizeof(Entry))
        if entries == NULL:
            raise MemoryError()
        for i in range(self.count):
            entries[i] = self.entries[(self.first + i) & (self.capacity - 1)]
        free(self.entries)
        self.entries = entries
        self.capacity = capacity
        self.first = 0
        return DONE
