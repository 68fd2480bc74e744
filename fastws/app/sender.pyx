# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""The shortest way of what a handler sends, in compiled code: most messages go it.

In Python it was a quarter of all instructions of an echo (benchmarks, echo and typed).
"""

from msgspec import Struct

# Structs are known by the class of their class; asking for a base would cost as much as encoding.
cdef object STRUCTS = type(Struct)


cdef class Sender:
    # Whether what is sent goes straight to the connection: it is accepted, and in no room. The
    # connection itself knows whether it is over.
    cdef public bint _direct
    # What the connection sends text with, and what is encoded.
    cdef public object _send_text, _send_encoded
    cdef public object _encode

    def send(self, message):
        """Sends a str as text, bytes as binary, and anything else in the format of the messages.

        Waits while the client does not read.

        Raises:
            Disconnected: the connection is over.
        """
        if self._direct:
            if type(message) is str:
                return self._send_text(message)
            if type(type(message)) is STRUCTS:
                return self._send_encoded(self._encode(message))
        return self._send_any(message)
