# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, binding=False
"""One WebSocket over one asyncio transport, in either role.

A read goes like this: the transport fills the loop's buffer; the codec parses all of it; the
task that waits is resumed; what it sends meanwhile is collected; one write ends it. What is
sent at other times is collected too, until the end of the loop's turn.

The transport's own buffer is kept at its smallest: it holds the rest of one frame that the
socket did not take, and says when that is gone. All else that is unsent is in `pending`,
where it is counted.
"""

from asyncio import BufferedProtocol
from time import monotonic

from fastws.errors import Disconnected

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memset

from fastws.wire.frames cimport (
    DONE,
    FIN,
    MAX_HEADER,
    OP_BINARY,
    OP_PING,
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

# How long a close frame waits for the app to answer the messages that came before it.
cdef double ANSWER_TIME = 0.1


cdef class Bounds:
    def __init__(self, limits):
        self.limits = limits
        self.queue_messages = limits.max_queue_messages
        self.queue_size = limits.max_queue_size
        self.write_buffer = limits.max_write_buffer
        self.unsent = limits.max_unsent
        self.ping_rate = limits.max_ping_rate or 0
        self.message_timeout = limits.message_timeout or 0
        self.ping_interval = limits.ping_interval or 0
        self.ping_timeout = limits.ping_timeout or 0
        self.close_timeout = limits.close_timeout
        times = (self.message_timeout, self.ping_interval, self.ping_timeout, self.close_timeout)
        self.shortest = min(time for time in times if time or time is self.close_timeout)


cdef dict _bounds = {}
cdef Bounds _last_bounds = None


cdef Bounds _bounds_of(limits):
    global _last_bounds
    # Mostly the same object as for the connection before; hashing it takes all its fields.
    if _last_bounds is None or _last_bounds.limits is not limits:
        _last_bounds = _bounds.get(limits)
        if _last_bounds is None:
            _last_bounds = _bounds[limits] = Bounds(limits)
    return _last_bounds


cdef class Endpoint(Receivable, BufferedProtocol):
    def __cinit__(self):
        self.fd = -1

    # What subclasses add.

    cdef Done early(self, uint8_t *data, size_t n) except EXC:
        """Takes bytes that come before the handshake is done, or after the end."""
        return DONE

    cdef Done on_failed(self) except EXC:
        """Called when the peer broke a rule or a limit, before it is told."""
        return DONE

    cdef Done on_lost(self) except EXC:
        """Called when TCP is over; nothing comes after it."""
        return DONE

    # asyncio's side.

    def connection_made(self, transport):
        self.transport = transport
        # With TLS, a mark of 0 would mean "paused for ever"; there it is a single byte.
        if transport.get_extra_info("sslcontext") is None:
            transport.set_write_buffer_limits(0)
            sock = transport.get_extra_info("socket")
            self.fd = -1 if sock is None else sock.fileno()
            self.read_by_loop = type(transport).__module__.startswith(("uvloop.", "asyncio."))
        else:
            transport.set_write_buffer_limits(1, 0)
        if transport.get_write_buffer_size():
            # A response from before the upgrade; who was told of it was our predecessor.
            self.pause_writing()

    cdef Done open(self, Connection connection) except EXC:
        """Starts the WebSocket, once the handshake is done."""
        self.bounds = _bounds_of(connection.limits)
        self.connection = connection
        self.is_server = connection.is_server
        self.last_heard = self.hub.loop.time()
        return self.hub.join(self, self.bounds.shortest)

    def get_buffer(self, size_hint):
        return self.hub.read_view

    def buffer_updated(self, Py_ssize_t n):
        self.read(self.hub.read_data, n)

    def data_received(self, data):
        """Takes bytes from where they cannot be read into our buffer."""
        cdef bytearray copy = bytearray(data)
        self.read(<uint8_t *>PyByteArray_AS_STRING(copy), len(copy))

    def eof_received(self):
        """Lets the transport close itself: a half-open WebSocket is of no use."""
        # It first sends what it has, and the peer may not read any more.
        self.closing_since = self.closing_since or self.hub.loop.time()
        return False

    def connection_lost(self, error):
        self.lost = True
        self.fd = -1
        self.hub.leave(self)
        self.pending = None
        self.pending_size = 0
        self.blocked = False
        self.transport = None
        self._let_senders_go()
        if self.pings is not None:
            for _, future in self.pings.values():
                if future is not None and not future.done():
                    future.set_exception(self.disconnected())
                    # Nobody has to have waited for it.
                    future.exception()
            self.pings = None
        self.on_lost()
        self.wake(False)
        # Breaks the circle that a waiter and its source make.
        self.waiter = None

    # Reading.

    cdef Done read(self, uint8_t *data, size_t n) except EXC:
        """Parses n bytes and lets the app act on them; one write at the end."""
        cdef Connection connection = self.connection
        cdef Output out
        if connection is None or self.lost:
            return self.early(data, n)
        self.heard = True
        if self.pending_size and not self.blocked:
            self.flush()
        out = self.out = self.hub.borrow()
        try:
            connection.feed(data, n, out, self.blocked)
            if connection.controls != self.controls_seen:
                self._on_controls()
            self.wake(self.read_by_loop)
            if connection.phase > Phase.CLOSE_SENT:
                self.settle()
        finally:
            self.out = None
            self._emit(out)
            self.hub.give_back(out)
        if connection.phase == Phase.CLOSED:
            self._end()
        else:
            self._pause_if_full()
        return DONE

    cdef Done settle(self) except EXC:
        """Sends the close frame that is due, after the answers to what came before it."""
        cdef Connection connection = self.connection
        if connection.phase != Phase.CLOSE_RECEIVED and connection.phase != Phase.FAILED:
            return DONE
        if connection.inbox.count == 0:
            self._finish()
        elif not self.closing_since:
            # The app is busy: it gets a moment to answer, not longer.
            self.closing_since = self.hub.loop.time()
            self.hub.loop.call_later(ANSWER_TIME, self._finish)
        return DONE

    def _finish(self):
        cdef Connection connection = self.connection
        cdef Output out
        if self.lost or connection.phase not in (Phase.CLOSE_RECEIVED, Phase.FAILED):
            return
        if connection.phase == Phase.FAILED:
            self.on_failed()
        self.closing_since = self.hub.loop.time()
        out = self._begin_write()
        connection.finish(out)
        self._end_write(out)
        self.resume_if_room()
        self.wake(False)

    cdef Done _pause_if_full(self) except EXC:
        """Stops reading from a peer whose messages, or whose answers, pile up."""
        cdef Connection connection = self.connection
        if self.reading_paused or self.lost or connection.phase != Phase.OPEN:
            return DONE
        if (
            connection.inbox.count > self.bounds.queue_messages
            or connection.inbox.size > self.bounds.queue_size
            or (self.blocked and self.is_full())
        ) and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()
        return DONE

    cdef Done resume_if_room(self) except EXC:
        """Goes on reading once the queues are down to a quarter; at once when closing."""
        cdef Connection connection = self.connection
        if not self.reading_paused or self.lost or self.transport.is_closing():
            return DONE
        if connection.phase == Phase.OPEN and (
            connection.inbox.count > self.bounds.queue_messages // 4
            or connection.inbox.size > self.bounds.queue_size // 4
            or self.blocked
        ):
            return DONE
        self.reading_paused = False
        self.transport.resume_reading()
        return DONE

    # Writing.

    cdef Done write(
        self, uint8_t opcode, const uint8_t *data, size_t n, bint compress
    ) except EXC:
        """Sends a message; the caller has checked that the connection may send."""
        cdef Output out
        if n >= LARGE and self.is_server and self.connection.compression is None:
            if self._write_large(opcode, data, n):
                return DONE
        out = self._begin_write()
        self.connection.write_message(opcode, data, n, compress, out)
        return self._end_write(out)

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
            self._emit(self.out)
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

    cdef bint write_prepared(self, PreparedMessage message) except -1:
        """Sends a message that others get, too, without waiting; tells whether it did.

        A peer that does not read ends here: others must not wait for it, nor memory grow.
        """
        cdef bytes frame
        if self.lost or not self.connection.may_send():
            return False
        if self.blocked and self.write_buffer_size > self.bounds.unsent:
            self.begin_close(1008, "slow consumer")
            return False
        frame = message.frame_for(self.connection)
        if frame is None:
            self.write(
                message.opcode,
                <uint8_t *>PyBytes_AS_STRING(message.payload),
                PyBytes_GET_SIZE(message.payload),
                True,
            )
        elif self.out is None:
            self._queue(frame)
        else:
            self.out.append(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
            self._end_write(self.out)
        return True

    cdef Output _begin_write(self):
        """Gives what to append to: this read's output, or an empty one."""
        return self.out if self.out is not None else self.hub.scratch

    cdef Done _end_write(self, Output out) except EXC:
        if self.out is None:
            if out.size:
                self._queue(out.take())
            if self.connection.phase == Phase.CLOSED:
                self._end()
        elif out.size >= FLUSH_AT:
            self._emit(out)
            out.size = 0
        return DONE

    cdef Done _emit(self, Output out) except EXC:
        if out.size == 0 or self.lost:
            return DONE
        if self.blocked or self.pending_size:
            return self._queue(out.take())
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

    cdef Done _queue(self, bytes frame) except EXC:
        if self.lost:
            return DONE
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

    cdef Done flush(self) except EXC:
        """Sends what is pending, as far as the socket takes it."""
        while self.pending_size and not self.blocked and not self.lost:
            if self.transport.is_closing():
                self.pending = None
                self.pending_size = 0
            elif self.fd >= 0:
                self._send_pending()
            else:
                frames, self.pending, self.pending_size = self.pending, None, 0
                self.transport.write(b"".join(frames))
        if not self.pending_size and self.connection.phase == Phase.CLOSED:
            self._end()
        return DONE

    cdef size_t _send_pending(self) except? 0:
        """Sends the first frames in one system call; of one that is cut, the transport gets
        the rest, and says when it is gone."""
        cdef iovec vector[FRAMES_AT_ONCE]
        cdef msghdr message
        cdef Py_ssize_t count = min(len(self.pending), <Py_ssize_t>FRAMES_AT_ONCE), done = 0
        cdef ssize_t sent
        cdef size_t left, size
        cdef bytes frame
        memset(&message, 0, sizeof(message))
        for i in range(count):
            frame = self.pending[i]
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
            frame = self.pending[done]
            self.pending_size -= PyBytes_GET_SIZE(frame) - left
            done += 1
        if done == len(self.pending):
            self.pending = None
        else:
            del self.pending[:done]
        if frame is not None:
            self.transport.write(frame[left:] if left else frame)
        return done

    def pause_writing(self):
        self.blocked = True
        self.blocked_since = self.hub.loop.time()
        self.blocked_size = 0

    def resume_writing(self):
        self.blocked = False
        if self.lost:
            return
        if self.connection is not None:
            self.flush()
            if not self.blocked:
                self._send_held_pong()
        if not self.blocked:
            self._let_senders_go()
            if self.connection is not None:
                self.resume_if_room()

    def _send_held_pong(self):
        cdef bytes payload = self.connection.held_pong
        cdef Output out
        self.connection.held_pong = None
        if payload is not None and self.connection.phase == Phase.OPEN:
            out = self._begin_write()
            self.connection.write_control(
                OP_PONG, <uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), out
            )
            self._end_write(out)

    @property
    def write_buffer_size(self):
        """Bytes that are unsent, on our side of the kernel."""
        if self.lost:
            return 0
        return self.pending_size + self.transport.get_write_buffer_size()

    cdef bint is_full(self) except -1:
        """Tells whether a sender has to wait; asked only while blocked."""
        return self.write_buffer_size > self.bounds.write_buffer

    cdef object wait_for_room(self):
        """Gives a future that is done when more may be sent, or nothing any more."""
        future = self.hub.loop.create_future()
        if self.senders is None:
            self.senders = []
        self.senders.append(future)
        return future

    cdef Done _let_senders_go(self) except EXC:
        if self.senders is not None:
            senders, self.senders = self.senders, None
            for future in senders:
                if not future.done():
                    future.set_result(None)
        return DONE

    # Closing.

    cdef Done begin_close(self, int code, str reason) except EXC:
        """Starts the closing handshake, or ends it if the peer has started it."""
        cdef Output out
        if self.lost or not self.connection.may_send():
            return DONE
        out = self._begin_write()
        self.connection.write_close(code, reason, out)
        self.closing_since = self.hub.loop.time()
        self._end_write(out)
        self.resume_if_room()
        return self.wake(False)

    cdef Done fail(self, int code, str reason) except EXC:
        """Ends the connection for a fault of the peer that the codec cannot see."""
        if self.lost:
            return DONE
        self.connection.fail(code, reason)
        self._finish()
        return DONE

    cdef Done _end(self) except EXC:
        """Closes TCP, once everything is sent (RFC 6455 section 7.1.1)."""
        if self.ended or self.lost or self.pending_size:
            return DONE
        self.ended = True
        self.fd = -1
        if self.is_server and self.connection.close_received:
            self.transport.close()
        elif not self.connection.close_received:
            # We failed the connection. Closing while the peer still sends would reset TCP, and
            # the peer might never see why; so we stop sending, and read until it stops, too.
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()
        return DONE

    def abort(self):
        """Ends TCP at once; the peer gets no close frame."""
        if not self.lost:
            self.fd = -1
            self.transport.abort()

    cdef object disconnected(self):
        """Gives the exception that says how the connection ended."""
        code, reason, clean = self.closing()
        return Disconnected(code, reason, clean)

    def closing(self):
        """Tells how the connection ended: the code, the reason, whether by the handshake."""
        cdef Connection connection = self.connection
        if connection is None or not connection.close_code:
            return 1006, "", False
        return connection.close_code, connection.close_reason or "", connection.close_received

    # Pings.

    def ping(self):
        """Sends a ping.

        Returns:
            A future of the round-trip time in seconds; it raises `Disconnected` if the
            connection ends before the pong.
        """
        future = self.hub.loop.create_future()
        if self.lost or self.connection is None or self.connection.phase != Phase.OPEN:
            future.set_exception(self.disconnected())
        else:
            self._send_ping(future)
        return future

    cdef object _send_ping(self, object future):
        cdef Output out = self._begin_write()
        cdef bytes payload = self.ping_count.to_bytes(4, "big")
        self.ping_count += 1
        if self.pings is None:
            self.pings = {}
        # Not the loop's time: uvloop's has steps of a millisecond, more than a ping may take.
        self.pings[payload] = (monotonic(), future)
        self.connection.write_control(OP_PING, <uint8_t *>PyBytes_AS_STRING(payload), 4, out)
        self._end_write(out)

    cdef Done _on_controls(self) except EXC:
        """Matches pongs with our pings, and holds the peer to its rate."""
        cdef Connection connection = self.connection
        cdef double now = self.hub.loop.time()
        if connection.last_pong is not None:
            if self.pings is not None and connection.last_pong in self.pings:
                self._on_pong()
            connection.last_pong = None
        if now - self.controls_since >= 1:
            self.controls_since = now
            self.controls_counted = self.controls_seen
        self.controls_seen = connection.controls
        if self.bounds.ping_rate and (
            self.controls_seen - self.controls_counted > self.bounds.ping_rate
        ):
            connection.fail(1008, f"over {self.bounds.ping_rate} pings and pongs in a second")
        return DONE

    cdef Done _on_pong(self) except EXC:
        cdef double now = monotonic()
        cdef bytes answered = self.connection.last_pong
        # 5.5.3: a pong may answer only the latest of several pings; the ones before are done.
        for payload in list(self.pings):
            sent, future = self.pings.pop(payload)
            if payload == answered:
                self.rtt = now - sent
            if future is not None and not future.done():
                future.set_result(now - sent)
            if payload == answered:
                break
        return DONE

    # The sweep.

    cdef Done sweep(self, double now) except EXC:
        if self.closing_since:
            if now - self.closing_since >= self.bounds.close_timeout:
                self.abort()
            return DONE
        if self.heard:
            self.heard = False
            self.last_heard = now
            self.ping_sent = 0
        self._sweep_message(now)
        if self.bounds.ping_interval and self.connection.phase == Phase.OPEN:
            self._sweep_ping(now)
        return DONE

    cdef Done _sweep_message(self, double now) except EXC:
        """Fails a peer that began a message and does not come to its end."""
        cdef Connection connection = self.connection
        if not self.bounds.message_timeout:
            return DONE
        if not connection.in_message():
            self.message_since = 0
        elif not self.message_since or self.message_mark != connection.messages:
            self.message_since = now
            self.message_mark = connection.messages
        elif self.reading_paused:
            # The delay is ours.
            self.message_since = now
        elif now - self.message_since >= self.bounds.message_timeout:
            self.fail(1008, "a message took too long")
        return DONE

    cdef Done _sweep_ping(self, double now) except EXC:
        """Pings a silent peer; gives up on one that stays silent, or that takes nothing."""
        cdef double patience = self.bounds.ping_interval + self.bounds.ping_timeout
        cdef size_t size
        if self.blocked:
            # A ping would wait behind what the peer does not read; look whether it reads.
            size = self.write_buffer_size
            if size < self.blocked_size or not self.blocked_size:
                self.blocked_since = now
            self.blocked_size = size
            if self.bounds.ping_timeout and now - self.blocked_since >= patience:
                self.connection.fail(1008, "nothing was read for too long")
                self.on_failed()
                self.abort()
        elif self.reading_paused:
            # What the peer sends, pongs too, waits for our app: its silence says nothing.
            self.last_heard = now
        elif self.ping_sent:
            if self.bounds.ping_timeout and now - self.ping_sent >= self.bounds.ping_timeout:
                self.fail(1011, "keepalive ping timeout")
            elif not self.bounds.ping_timeout and now - self.ping_sent >= self.bounds.ping_interval:
                self.ping_sent = 0
                self.last_heard = now
        elif now - self.last_heard >= self.bounds.ping_interval:
            self.ping_sent = now
            self._send_ping(None)
        return DONE
