# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, binding=False
"""One WebSocket over one asyncio transport, in either role.

A read goes like this: the transport fills the loop's buffer; the codec parses all of it; the
task that waits is resumed; what it sends meanwhile is collected; one write ends it.
"""

from asyncio import BufferedProtocol
from time import monotonic

from fastws.errors import Disconnected

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fastws.aio.hub cimport Buffered
from fastws.aio.writer cimport count_sent
from fastws.wire.frames cimport DONE, OP_PING, Output
from fastws.wire.reader cimport Phase

# How long a close frame waits for the app to answer the messages that came before it.
cdef double ANSWER_TIME = 0.1


cpdef finish_sending(transport):
    """Sends FIN behind what was sent, and can still read; TLS has no such thing, and is closed."""
    if not transport.can_write_eof():
        transport.close()
        return
    try:
        transport.write_eof()
    except OSError:
        # asyncio lets this out if the peer has reset TCP, and nobody has read that yet.
        transport.abort()


cdef class Endpoint(Writer, BufferedProtocol):
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
        self.connection = connection
        self.is_server = connection.is_server
        self.last_heard = self.hub.loop.time()
        return self.hub.join(self, self.connection.bounds.shortest)

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
        self.shared_end = 0
        self.blocked = False
        self.transport = None
        self.let_senders_go()
        if self.pings is not None:
            for _, future in self.pings.values():
                if future is not None and not future.done():
                    future.set_exception(self.disconnected())
                    # Nobody has to have waited for it.
                    future.exception()
            self.pings = None
        self.on_lost()
        self.wake(False)
        # Breaks the circles that these and their source make.
        self.waiter = self.spare = None

    # Reading.

    cdef Done read(self, uint8_t *data, size_t n) except EXC:
        """Parses n bytes and lets the app act on them; one write at the end."""
        cdef Connection connection = self.connection
        cdef uint32_t messages, payloads
        cdef Output out
        if connection is None or self.lost:
            return self.early(data, n)
        self.heard = True
        if self.pending_size and not self.blocked:
            self.flush()
        messages, payloads = connection.messages, connection.payloads
        out = self.out = self.hub.borrow()
        try:
            connection.feed(data, n, out, self.blocked)
            if self.is_server:
                self.hub.counters.messages_received += connection.messages - messages
                self.hub.counters.bytes_received += connection.payloads - payloads
            if connection.controls != self.controls_seen:
                self._on_controls()
            self.wake(self.read_by_loop)
            if connection.phase > Phase.CLOSE_SENT:
                self.settle()
        finally:
            self.out = None
            self.emit(out)
            self.hub.give_back(out)
        if connection.phase == Phase.CLOSED:
            self.end()
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
        out = self.begin_write()
        connection.finish(out)
        self.end_write(out)
        self.resume_if_room()
        self.wake(False)

    cdef Done _pause_if_full(self) except EXC:
        """Stops reading from a peer whose messages, or whose answers, pile up."""
        cdef Connection connection = self.connection
        if self.reading_paused or self.lost or connection.phase != Phase.OPEN:
            return DONE
        if (
            connection.inbox.count > self.connection.bounds.queue_messages
            or connection.inbox.size > self.connection.bounds.queue_size
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
            connection.inbox.count > self.connection.bounds.queue_messages // 4
            or connection.inbox.size > self.connection.bounds.queue_size // 4
            or self.blocked
        ):
            return DONE
        self.reading_paused = False
        self.transport.resume_reading()
        return DONE

    # Sending to many.

    cdef bint write_prepared(self, PreparedMessage message) except -1:
        """Sends a message that others get, too, without waiting; tells whether it did.

        A peer that does not read ends here: others must not wait for it, nor memory grow.
        """
        cdef bytes frame
        if self.lost or not self.connection.may_send():
            return False
        if self.blocked and self.write_buffer_size > self.connection.bounds.unsent:
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
            return True
        count_sent(self, PyBytes_GET_SIZE(message.payload))
        if self.out is None:
            self.queue(frame)
        else:
            self.out.append(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
            self.end_write(self.out)
        return True

    # Closing.

    cdef Done begin_close(self, int code, str reason) except EXC:
        """Starts the closing handshake, or ends it if the peer has started it."""
        cdef Output out
        if self.lost or not self.connection.may_send():
            return DONE
        if self.connection.phase == Phase.FAILED:
            # The app ends it before it has come to the fault, which is what the peer is told.
            self.on_failed()
        out = self.begin_write()
        self.connection.write_close(code, reason, out)
        self.closing_since = self.hub.loop.time()
        self.end_write(out)
        self.resume_if_room()
        return self.wake(False)

    cdef Done fail(self, int code, str reason) except EXC:
        """Ends the connection for a fault of the peer that the codec cannot see."""
        if self.lost:
            return DONE
        self.connection.fail(code, reason)
        self._finish()
        return DONE

    cdef Done end(self) except EXC:
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
            finish_sending(self.transport)
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
        cdef Output out = self.begin_write()
        cdef bytes payload = self.ping_count.to_bytes(4, "big")
        self.ping_count += 1
        if self.pings is None:
            self.pings = {}
        # Not the loop's time: uvloop's has steps of a millisecond, more than a ping may take.
        self.pings[payload] = (monotonic(), future)
        self.connection.write_control(OP_PING, <uint8_t *>PyBytes_AS_STRING(payload), 4, out)
        self.end_write(out)

    cdef Done _on_controls(self) except EXC:
        """Matches pongs with our pings, and holds the peer to its rate."""
        cdef Connection connection = self.connection
        cdef uint32_t rate = connection.bounds.ping_rate
        cdef double now = self.hub.loop.time()
        if connection.last_pong is not None:
            if self.pings is not None and connection.last_pong in self.pings:
                self._on_pong()
            connection.last_pong = None
        if now - self.controls_since >= 1:
            self.controls_since = now
            self.controls_counted = self.controls_seen
        self.controls_seen = connection.controls
        if rate and self.controls_seen - self.controls_counted > rate:
            connection.fail(1008, f"over {rate} pings and pongs in a second")
        return DONE

    cdef Done _on_pong(self) except EXC:
        cdef double now = monotonic()
        cdef bytes answered = self.connection.last_pong
        # 5.5.3: a pong may answer only the latest of several pings; the ones before are done.
        for payload in list(self.pings):
            sent, future = self.pings.pop(payload)
            if payload == answered:
                self.rtt = now - sent
                if self.is_server:
                    self.hub.counters.count_rtt(self.rtt)
            if future is not None and not future.done():
                future.set_result(now - sent)
            if payload == answered:
                break
        return DONE

    cdef Done add_buffered(self, Buffered *sums) except EXC:
        if self.is_server:
            # The transport has something only while we are blocked.
            sums.unsent += self.write_buffer_size if self.blocked else self.pending_size
            sums.unread += self.connection.inbox.size
            if self.connection.buffer != NULL:
                sums.unread += self.connection.message_size
        return DONE

    # The sweep.

    cdef Done sweep(self, double now) except EXC:
        if self.closing_since:
            if now - self.closing_since >= self.connection.bounds.close_timeout:
                self.abort()
            return DONE
        if self.heard:
            self.heard = False
            self.last_heard = now
            self.ping_sent = 0
        self._sweep_message(now)
        if self.connection.bounds.ping_interval and self.connection.phase == Phase.OPEN:
            self._sweep_ping(now)
        return DONE

    cdef Done _sweep_message(self, double now) except EXC:
        """Fails a peer that began a message and does not come to its end."""
        cdef Connection connection = self.connection
        if not self.connection.bounds.message_timeout:
            return DONE
        if not connection.in_message():
            self.message_since = 0
        elif not self.message_since or self.message_mark != connection.messages:
            self.message_since = now
            self.message_mark = connection.messages
        elif self.reading_paused:
            # The delay is ours.
            self.message_since = now
        elif now - self.message_since >= self.connection.bounds.message_timeout:
            self.fail(1008, "a message took too long")
        return DONE

    cdef Done _sweep_ping(self, double now) except EXC:
        """Pings a silent peer; gives up on one that stays silent, or that takes nothing."""
        cdef double interval = self.connection.bounds.ping_interval
        cdef double timeout = self.connection.bounds.ping_timeout
        cdef size_t size
        if self.blocked:
            # A ping would wait behind what the peer does not read; look whether it reads.
            size = self.write_buffer_size
            if size < self.blocked_size or not self.blocked_size:
                self.blocked_since = now
            self.blocked_size = size
            if timeout and now - self.blocked_since >= interval + timeout:
                self.connection.fail(1008, "nothing was read for too long")
                self.on_failed()
                self.abort()
        elif self.reading_paused:
            # What the peer sends, pongs too, waits for our app: its silence says nothing.
            self.last_heard = now
        elif self.ping_sent:
            if timeout and now - self.ping_sent >= timeout:
                self.fail(1011, "keepalive ping timeout")
            elif not timeout and now - self.ping_sent >= interval:
                self.ping_sent = 0
                self.last_heard = now
        elif now - self.last_heard >= interval:
            self.ping_sent = now
            if self.pings:
                # Of those before that nobody waits for, no pong has to come any more.
                self.pings = {sent: ping for sent, ping in self.pings.items() if ping[1]}
            self._send_ping(None)
        return DONE
