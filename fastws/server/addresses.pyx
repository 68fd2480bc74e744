# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The two ends of a connection, as ASGI's scope names them.

What uvicorn finds with several calls into the transport, two system calls tell for IPv4 (a
twelfth of the instructions of a handshake). All else is left to uvicorn.
"""

from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from libc.stdint cimport uint16_t, uint32_t

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int getpeername(int fd, sockaddr *address, socklen_t *size)
    int AF_INET

cdef extern from "netinet/in.h" nogil:
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        in_addr sin_addr
        uint16_t sin_port

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    uint16_t ntohs(uint16_t port)

ctypedef int (*Name)(int fd, sockaddr *address, socklen_t *size) noexcept nogil


# Most connections of a process come to one address of it: its name is kept once.
cdef object _last_server = None


cdef object _ipv4(int fd, Name name):
    """Gives (host, port), or None if the socket is not one of IPv4."""
    cdef sockaddr_in address
    cdef socklen_t size = sizeof(address)
    cdef char text[16]
    if fd < 0 or name(fd, <sockaddr *>&address, &size) != 0:
        return None
    if (<sockaddr *>&address).sa_family != AF_INET:
        return None
    if inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text)) == NULL:
        return None
    return (<bytes>text).decode("ascii"), ntohs(address.sin_port)


cdef object server_address(int fd, object transport):
    global _last_server
    address = _ipv4(fd, getsockname) or get_local_addr(transport)
    if address != _last_server:
        _last_server = address
    return _last_server


cdef object client_address(int fd, object transport):
    return _ipv4(fd, getpeername) or get_remote_addr(transport)
