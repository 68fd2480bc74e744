# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""One WebSocket connection, without its I/O (RFC 6455 sections 5.4 to 7).

Bytes go in through `feed`; messages come out of `inbox`, and replies to control frames go to
an `Output`.

A fault of the peer never raises. It stops the parser and moves the connection to FAILED; the
messages before it stay in the inbox, and `finish` writes the close frame once they are dealt
with. A close frame from the peer is handled the same way, so that answers to the messages
before it can still go out.
"""

from enum import IntEnum

from fastws.errors import Disconnected
from fastws.wire.frames import Opcode

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcpy

from fastws.wire.frames cimport (
    CONTROL,
    DONE,
    FIN,
    MAX_CONTROL,
    MAX_HEADER,
    OP_BINARY,
    OP_CLOSE,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    RSV1,
    random_key,
    refill_keys,
    unmask,
    write_header,
)

cdef enum:
    # Scratch space above this is given back after the message that needed it.
    KEEP_SCRATCH = 1 << 20

# Of what an inbox holds; calling the enum would take four fifths of `next_event`.
cdef dict _OPCODES = {opcode.value: opcode for opcode in Opcode}

# Where payloads are compressed: one for the process, as in `reader`.
cdef Output _scratch = Output()


class Role(IntEnum):
    """Which side of the connection we are; decides who masks (RFC 6455 section 5.1)."""

    SERVER = 0
    CLIENT = 1


class State(IntEnum):
    """How far the closing handshake is (RFC 6455 section 7.1)."""

    OPEN = Phase.OPEN
    CLOSE_SENT = Phase.CLOSE_SENT
    CLOSE_RECEIVED = Phase.CLOSE_RECEIVED
    FAILED = Phase.FAILED
    CLOSED = Phase.CLOSED


cdef class Connection(MessageReader):
    @property
    def state(self):
        return State(self.phase)

    # Control frames.

    cdef Done on_control(
        self, uint8_t opcode, const uint8_t *data, size_t n, Output out, bint blocked
    ) except EXC:
        if opcode == OP_CLOSE:
            return self._receive_close(data, n)
        self.controls += 1
        if opcode == OP_PONG:
            self.last_pong = data[:n]
        elif blocked:
            # 5.5.3: it "MAY elect to send a Pong frame for only the most recently processed
            # Ping frame". A peer that does not read gets no more than that.
            self.held_pong = data[:n]
        elif self.phase == Phase.OPEN:
            # 5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response"
            self.write_control(OP_PONG, data, n, out)
        if self.observe_control and self.phase == Phase.OPEN:
            self.inbox.push(data[:n], opcode, n)
        return DONE

    cdef Done _receive_close(self, const uint8_t *data, size_t n) except EXC:
        cdef int code = 1005
        cdef str reason = ""
        if n == 1:
            self.fail(1002, "a close frame has one byte")
            return DONE
        if n >= 2:
            code = (data[0] << 8) | data[1]
            if not _may_be_sent(code):
                self.fail(1002, "a close code may not be sent")
                return DONE
            try:
                reason = data[2:n].decode("utf-8")
            except UnicodeDecodeError:
                self.fail(1007, "the reason of a close frame is not UTF-8")
                return DONE
        self.close_received = True
        if self.phase == Phase.CLOSE_SENT:
            self.phase = Phase.CLOSED
        else:
            self.phase = Phase.CLOSE_RECEIVED
            self.closed_by_peer = True
            self.close_code = code
            self.close_reason = reason
        self.forget_message()
        return DONE

    # Sending.

    cdef Done write_message(
        self, uint8_t opcode, const uint8_t *data, size_t n, bint compress, Output out
    ) except EXC:
        """Appends a message in one frame; the caller has checked that it `may_send`."""
        cdef uint8_t first = FIN | opcode
        compress = compress and self.compression is not None and n >= self.compression.threshold
        if compress:
            if not self.is_server:
                refill_keys()  # now, since no other thread may run while scratch is in use
            _scratch.size = 0
            self.compression.compress(data, n, _scratch)
            # Without context takeover, a message that does not shrink goes out as it is.
            if _scratch.size < n or not self.compression.reset_deflater:
                data = _scratch.data
                n = _scratch.size
                first |= RSV1
        self._write_frame(first, data, n, out)
        if compress and _scratch.capacity > KEEP_SCRATCH:
            _scratch.release()
        return DONE

    cdef Done write_control(
        self, uint8_t opcode, const uint8_t *data, size_t n, Output out
    ) except EXC:
        """Appends a control frame of at most 125 bytes."""
        return self._write_frame(FIN | opcode, data, n, out)

    cdef Done _write_frame(
        self, uint8_t first, const uint8_t *data, size_t n, Output out
    ) except EXC:
        cdef uint32_t key = 0 if self.is_server else random_key()
        cdef uint8_t *to = out.reserve(n + MAX_HEADER)
        cdef size_t size = write_header(to, first, n, not self.is_server, key)
        if not self.is_server:
            unmask(to + size, data, n, key)
        elif n:
            memcpy(to + size, data, n)
        out.size += size + n
        return DONE

    cdef bint may_send(self) noexcept:
        """Tells whether messages may still be sent: until our close frame, and no longer."""
        return self.phase != Phase.CLOSE_SENT and self.phase != Phase.CLOSED

    cdef Done write_close(self, int code, str reason, Output out) except EXC:
        """Begins the closing handshake, or ends it if the peer has begun it."""
        if self.phase == Phase.OPEN:
            self._write_close_frame(code, reason, out)
            self.close_code = code
            self.close_reason = reason
            self.phase = Phase.CLOSE_SENT
        return self.finish(out)

    cdef Done finish(self, Output out) except EXC:
        """Writes the close frame that a fault or the peer's close frame made due."""
        if self.phase == Phase.CLOSE_RECEIVED:
            # 5.5.1: "it typically echos the status code it received"
            self._write_close_frame(self.close_code, "", out)
            self.phase = Phase.CLOSED
        elif self.phase == Phase.FAILED:
            self._write_close_frame(self.close_code, self.close_reason, out)
            self.phase = Phase.CLOSED
        return DONE

    cdef Done _write_close_frame(self, int code, str reason, Output out) except EXC:
        cdef bytes payload = b""
        # 7.4.1: 1005 stands for a close frame without a code.
        if code != 1005:
            if not _may_be_sent(code):
                raise ValueError(f"{code} is not a close code that may be sent")
            payload = code.to_bytes(2, "big") + _cut(reason.encode())
        return self.write_control(
            OP_CLOSE, <uint8_t *>PyBytes_AS_STRING(payload), len(payload), out
        )

    # The same for Python.

    def receive_data(self, const uint8_t[::1] data not None):
        """Parses bytes from the peer; then call `next_event` until it gives None."""
        # A copy, since payloads are unmasked in place.
        cdef Py_ssize_t n = data.shape[0]
        cdef bytearray scratch = PyByteArray_FromStringAndSize(<char *>&data[0] if n else NULL, n)
        self.feed(<uint8_t *>PyByteArray_AS_STRING(scratch), n, self._output(), False)

    def next_event(self):
        """Gives the next (opcode, payload), or None if there is none.

        The payload of CLOSE is a (code, reason) pair; it comes once, after all messages, and
        by then the close frame that is due is among the data to send.
        """
        cdef uint8_t opcode = 0
        if self.inbox.count:
            payload = self.inbox.pop(&opcode)
            return _OPCODES[opcode], payload
        if self.phase == Phase.OPEN or self.phase == Phase.CLOSE_SENT or self.close_reported:
            return None
        self.finish(self._output())
        self.close_reported = True
        return Opcode.CLOSE, (self.close_code, self.close_reason)

    cdef Output _output(self):
        if self.out is None:
            self.out = Output()
        return self.out

    def _send(self, uint8_t opcode, const uint8_t[::1] data not None, bint compress):
        cdef const uint8_t *at = &data[0] if data.shape[0] else NULL
        if not self.may_send():
            raise Disconnected(self.close_code, self.close_reason, self.close_received)
        if opcode & CONTROL:
            if data.shape[0] > MAX_CONTROL:
                raise ValueError("a control frame has at most 125 bytes")
            self.write_control(opcode, at, data.shape[0], self._output())
        else:
            self.write_message(opcode, at, data.shape[0], compress, self._output())

    def send_text(self, text: str, compress: bool = True):
        """Sends a text message.

        Raises:
            Disconnected: our close frame is out.
        """
        self._send(OP_TEXT, text.encode(), compress)

    def send_binary(self, data, compress: bool = True):
        """Sends a binary message.

        Raises:
            Disconnected: our close frame is out.
        """
        self._send(OP_BINARY, data, compress)

    def send_ping(self, data=b""):
        """Sends a ping of at most 125 bytes."""
        self._send(OP_PING, data, False)

    def send_pong(self, data=b""):
        """Sends a pong of at most 125 bytes that answers no ping."""
        self._send(OP_PONG, data, False)

    def send_close(self, int code=1000, str reason=""):
        """Begins the closing handshake, or ends it if the peer has begun it."""
        self.write_close(code, reason, self._output())

    def data_to_send(self):
        """Takes the bytes that are to be sent to the peer."""
        return b"" if self.out is None else self.out.take()


cdef bint _may_be_sent(int code) noexcept:
    """Tells whether a code may be in a close frame (RFC 6455 section 7.4 and IANA)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


cdef bytes _cut(bytes reason):
    """Cuts a reason to what fits into a control frame, between two characters."""
    if len(reason) <= MAX_CONTROL - 2:
        return reason
    return reason[: MAX_CONTROL - 2].decode("utf-8", "ignore").encode()
