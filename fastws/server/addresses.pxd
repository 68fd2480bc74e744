# cython: language_level=3
"""The two ends of a connection, as ASGI's scope names them."""


cdef object server_address(int fd, object transport)
cdef object client_address(int fd, object transport)
