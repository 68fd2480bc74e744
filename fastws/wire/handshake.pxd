# cython: language_level=3
"""The opening handshake as a server sees it (RFC 6455 section 4.2)."""


cdef class UpgradeRequest:
    cdef readonly bytes target
    cdef readonly list headers
    cdef readonly bytes key
    cdef readonly list subprotocols
    cdef readonly bytes extensions
