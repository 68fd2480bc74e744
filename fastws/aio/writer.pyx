# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, binding=False
"""Frames to the socket, or to where they wait for it.

What is sent during a read is collected in `out`; at other times in `pending`, until the end of
the loop's turn. The transport's own buffer is kept at its smallest: it holds the rest of one
frame that the socket did not take, and says when that is gone. All else that is unsent is in
`pending`, where it is counted.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memset

from fastws.wire.frames cimport (
    DONE,
    FIN,
    MAX_HEADER,
    OP_BINARY,
    OP_PONG,
    OP_TEXT,
    write_header,
)
from fastws.wire.reader cimport Phase

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    uint8_t *PyUnicode_1BYTE_DATA(object)

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    ssize_t c_send "send" (int fd, const void *data, size_t n, int flags)
    ssize_t c_sendmsg "sendmsg" (int fd, const msghdr *message, int flags)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL

cdef enum:
    # Collected output is sent from here on, so that a producer that never waits meets
    # back-pressure.
    FLUSH_AT = 64 * 1024
    # Messages from here on are not copied before they are sent.
    LARGE = 32 * 1024
    # Frames that one sendmsg takes; the kernel's own bound is 1024.
    FRAMES_AT_ONCE = 64


cdef class Writer(Receivable):
    def __cinit__(self):
        self.fd = -1

    # What an endpoint adds.

    cdef Done end(self) except EXC:
        """Closes TCP, once everything is sent."""
        raise NotImplementedError

    cdef Done resume_if_room(self) except EXC:
        """Goes on reading, if what stopped it is gone."""
        raise NotImplementedError

    # Sending.

    cdef Done write(
        self, uint8_t opcode, const uint8_t *data, size_t n, bint compress
    ) except EXC:
        """Sends a message; the caller has checked that the connection may send."""
        cdef Output out
        count_sent(self, n)
        if n >= LARGE and self.is_server and self.connection.compression is None:
            if self._write_large(opcode, data, n):
                return DONE
        out = self.begin_write()
        self.connection.write_message(opcode, data, n, compress, out)
        return self.end_write(out)

    cdef Done write_object(self, object message, bint compress) except EXC:
        """Sends a str as text, any buffer of bytes as binary.

        Raises TypeError for anything else.
        """
        cdef bytes encoded
        cdef const uint8_t[::1] view
        if isinstance(message, str):
            if PyUnicode_IS_COMPACT_ASCII(message):
                return self.write(
                    OP_TEXT, PyUnicode_1BYTE_DATA(message), PyUnicode_GET_LENGTH(message), compress
                )
            # Not PyUnicode_AsUTF8: it would keep a second copy in the app's string.
            encoded = message.encode()
            return self.write(
                OP_TEXT, <uint8_t *>PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), compress
            )
        if isinstance(message, bytes):
            return self.write(
                OP_BINARY,
                <uint8_t *>PyBytes_AS_STRING(message),
                PyBytes_GET_SIZE(message),
                compress,
            )
        if isinstance(message, (int, float)):
            raise TypeError(f"cannot send {type(message).__name__}")
        try:
            view = memoryview(message).cast("B")
        except (TypeError, ValueError) as error:
            raise TypeError(f"cannot send {type(message).__name__}: {error}") from None
        return self.write(
            OP_BINARY, &view[0] if view.shape[0] else NULL, view.shape[0], compress
        )

    cdef bint _write_large(self, uint8_t opcode, const uint8_t *data, size_t n) except -1:
        """Sends a large message from where it is, if the socket is free; tells whether it did.

        Only what the socket does not take is copied.
        """
        cdef uint8_t header[MAX_HEADER]
        cdef iovec vector[2]
        cdef msghdr message
        cdef size_t size, left
        cdef ssize_t sent
        if self.out is not None and self.out.size:
            self.emit(self.out)
            self.out.size = 0
        if self.fd < 0 or self.blocked or self.pending_size or self.transport.is_closing():
            return False
        size = write_header(header, FIN | opcode, n, False, 0)
        memset(&message, 0, sizeof(message))
        vector[0].iov_base = header
        vector[0].iov_len = size
        vector[1].iov_base = <void *>data
        vector[1].iov_len = n
        message.msg_iov = vector
        message.msg_iovlen = 2
        sent = c_sendmsg(self.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        left = sent if sent > 0 else 0
        if left < size:
            self.transport.write(PyBytes_FromStringAndSize(<char *>header + left, size - left))
            left = size
        if left < size + n:
            data += left - size
            self.transport.write(
                PyBytes_FromStringAndSize(<const char *>data, n - (left - size))
            )
        return True

    cdef Output begin_write(self):
        """Gives what to append to: this read's output, or an empty one."""
        return self.out if self.out is not None else self.hub.scratch

    cdef Done end_write(self, Output out) except EXC:
        if self.out is None:
            if out.size:
                self.queue(out.take())
            if self.connection.phase == Phase.CLOSED:
                self.end()
        elif out.size >= FLUSH_AT:
            self.emit(out)
            out.size = 0
        return DONE

    cdef Done emit(self, Output out) except EXC:
        if out.size == 0 or self.lost:
            return DONE
        if self.blocked or self.pending_size:
            return self.queue(out.take())
        return self._send(out.data, out.size)

    cdef Done _send(self, const uint8_t *data, size_t n) except EXC:
        """Writes to the socket; what it does not take goes to the transport, as a copy."""
        cdef ssize_t sent
        if self.fd >= 0:
            sent = c_send(self.fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent == <ssize_t>n:
                return DONE
            if sent > 0:
                data += sent
                n -= sent
            # An error needs no look: the transport will meet it, too, and report it.
        if not self.transport.is_closing():
            self.transport.write(PyBytes_FromStringAndSize(<const char *>data, n))
        return DONE

    cdef Done queue(self, bytes frame) except EXC:
        if self.lost:
            return DONE
        if self.shared_end:
            self._copy_shared()
        if self.pending is None:
            self.pending = []
        self.pending.append(frame)
        self.pending_size += PyBytes_GET_SIZE(frame)
        if self.blocked:
            return DONE
        if self.pending_size >= FLUSH_AT:
            return self.flush()
        if not self.dirty:
            self.hub.mark_dirty(self)
        return DONE

    cdef bint share(self, uint32_t end, size_t n) except -1:
        """Makes the n bytes of `hub.shared` that end there pending, if they follow on what is.

        Tells whether they do; the caller has checked that the connection is not blocked.
        """
        if not self.pending_size:
            if not self.dirty:
                self.hub.mark_dirty(self)
        elif not self.shared_end or self.shared_end != end - n:
            return False
        self.shared_end = end
        self.pending_size += n
        return True

    cdef Done flush(self) except EXC:
        """Sends what is pending, as far as the socket takes it."""
        if self.shared_end:
            self._send_shared()
        if self.fd >= 0 and self.pending is not None:
            self._send_frames()
        if self.pending_size and not self.blocked and not self.lost:
            frames, self.pending, self.pending_size = self.pending, None, 0
            if not self.transport.is_closing():
                self.transport.write(b"".join(frames))
        if not self.pending_size and self.connection.phase == Phase.CLOSED:
            self.end()
        return DONE

    cdef Done _send_frames(self) except EXC:
        # They are dropped all at once: one call after the other, it would be quadratic work.
        cdef Py_ssize_t done = 0
        try:
            while self.pending_size and not self.blocked and not self.transport.is_closing():
                self._send_some(&done)
        finally:
            if done == len(self.pending):
                self.pending = None
            else:
                del self.pending[:done]
        return DONE

    cdef Done _send_some(self, Py_ssize_t *first) except EXC:
        """Sends some frames from the first on in one system call; of one that is cut, the
        transport gets the rest, and says when it is gone."""
        cdef iovec vector[FRAMES_AT_ONCE]
        cdef msghdr message
        cdef Py_ssize_t count = len(self.pending) - first[0], done = 0
        cdef ssize_t sent
        cdef size_t left, size
        cdef bytes frame
        count = min(count, <Py_ssize_t>FRAMES_AT_ONCE)
        memset(&message, 0, sizeof(message))
        for i in range(count):
            frame = self.pending[first[0] + i]
            vector[i].iov_base = PyBytes_AS_STRING(frame)
            vector[i].iov_len = PyBytes_GET_SIZE(frame)
        message.msg_iov = vector
        message.msg_iovlen = count
        sent = c_sendmsg(self.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        left = sent if sent > 0 else 0
        self.pending_size -= left
        while done < count:
            size = vector[done].iov_len
            if left < size:
                break
            left -= size
            done += 1
        frame = None
        if done < count:
            frame = self.pending[first[0] + done]
            self.pending_size -= PyBytes_GET_SIZE(frame) - left
            done += 1
        first[0] += done
        if frame is not None:
            # A view: the rest of a large frame for many is not copied for each of them.
            self.transport.write(memoryview(frame)[left:] if left else frame)
        return DONE

    cdef Done _send_shared(self) except EXC:
        cdef const uint8_t *end = self.hub.shared.data + self.shared_end
        cdef size_t n = self.pending_size
        if self.blocked:
            return self._copy_shared()
        self.shared_end = 0
        self.pending_size = 0
        return self._send(end - n, n)

    cdef Done _copy_shared(self) except EXC:
        """Takes over what is shared: something else comes between, or it has to wait."""
        cdef const uint8_t *end = self.hub.shared.data + self.shared_end
        cdef size_t n = self.pending_size
        self.pending = [PyBytes_FromStringAndSize(<const char *>end - n, n)]
        self.shared_end = 0
        return DONE

    def pause_writing(self):
        self.blocked = True
        self.blocked_since = self.hub.loop.time()
        self.blocked_size = 0

    def resume_writing(self):
        self.blocked = False
        if self.lost:
            return
        if self.connection is not None and self.connection.phase == Phase.CLOSED:
            # Not now: asyncio calls connection_lost twice if TCP is closed from in here.
            if not self.dirty:
                self.hub.mark_dirty(self)
        elif self.connection is not None:
            self.flush()
            if not self.blocked:
                self._send_held_pong()
        self._let_sender_go()
        if not self.blocked and self.connection is not None:
            self.resume_if_room()

    def _send_held_pong(self):
        cdef bytes payload = self.connection.held_pong
        cdef Output out
        self.connection.held_pong = None
        if payload is not None and self.connection.phase == Phase.OPEN:
            out = self.begin_write()
            self.connection.write_control(
                OP_PONG, <uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), out
            )
            self.end_write(out)

    @property
    def write_buffer_size(self):
        """Bytes that are unsent, on our side of the kernel."""
        if self.lost:
            return 0
        return self.pending_size + self.transport.get_write_buffer_size()

    cdef bint is_full(self) except -1:
        """Tells whether a sender has to wait; asked only while blocked."""
        return self.write_buffer_size > self.connection.bounds.write_buffer

    cdef object wait_for_room(self):
        """Gives a future that is done when its turn to send has come, or nobody's will."""
        future = self.hub.loop.create_future()
        if self.senders is None:
            self.senders = deque()
        self.senders.append(future)
        return future

    def _let_sender_go(self):
        """Gives those who wait their turns: one after the other, while there is room.

        All at once, the first could fill that again and again, and the others would starve.
        """
        while self.senders:
            if self.connection is not None and self.blocked and self.is_full():
                break
            future = self.senders.popleft()
            if not future.done():
                future.set_result(None)
                self.hub.loop.call_soon(self._let_sender_go)
                break
        else:
            if not self.blocked:
                self._tell_writable()

    cdef Done _tell_writable(self) except EXC:
        callback, self.on_writable = self.on_writable, None
        if callback is not None:
            callback()
        return DONE

    cdef Done let_senders_go(self) except EXC:
        """Ends the waiting of all, when the connection is lost."""
        if self.senders is not None:
            senders, self.senders = self.senders, None
            for future in senders:
                if not future.done():
                    future.set_result(None)
        return self._tell_writable()
