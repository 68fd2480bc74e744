# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Frames to messages (RFC 6455 sections 5.4 and 5.6), within limits.

Every limit is checked on a frame's header, before a byte is allocated for it. A fault of the
peer never raises: it stops the parser and leaves code and reason for the close frame.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from fastws.wire.bounds cimport bounds_of
from fastws.wire.deflate cimport INFLATED_CORRUPT, INFLATED_TOO_BIG, Inflated
from fastws.wire.frames cimport (
    CONTROL,
    DONE,
    FIN,
    MAX_CONTROL,
    OP_BINARY,
    OP_CONTINUATION,
    OP_PONG,
    OP_TEXT,
    OPCODE,
    PARSE_MORE,
    PARSE_NOT_MINIMAL,
    RSV1,
    RSV23,
    parse_header,
    rotate_key,
    unmask,
    utf8_feed,
)

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    uint8_t *PyUnicode_1BYTE_DATA(object)
    PyObject *_new_bytes "PyBytes_FromStringAndSize" (const char *, Py_ssize_t) except NULL
    char *_bytes_data "PyBytes_AS_STRING" (PyObject *)
    Py_ssize_t Py_SIZE(PyObject *)
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1

cdef enum:
    TINY_FRAGMENT = 16
    FIRST_BUFFER = 1024
    # Scratch space above this is given back after the message that needed it.
    KEEP_SCRATCH = 1 << 20

# Where compressed payloads are inflated. One for the process: it is used within one call, and
# calls do not overlap under the GIL.
cdef Output _scratch = Output()


cdef class MessageReader:
    def __init__(self, role, limits, Compression compression=None):
        self.is_server = int(role) == 0
        self.compression = compression
        self.inbox = Inbox()
        self.phase = Phase.OPEN
        self.close_reason = ""
        self.set_limits(limits)

    def __dealloc__(self):
        Py_XDECREF(self.buffer)

    def set_limits(self, limits):
        """Takes over other limits, from the next frame on."""
        self.bounds = bounds_of(limits)

    @property
    def limits(self):
        return self.bounds.limits

    cdef bint in_message(self) noexcept:
        """Tells whether the end of a message is awaited, or of a frame, or of its header."""
        return self.message_opcode != 0 or self.in_frame or self.header_size != 0

    cdef Done feed(self, uint8_t *data, size_t n, Output out, bint blocked) except EXC:
        """Parses n bytes.

        Args:
            data: where they are; they are unmasked in place, and not kept.
            out: takes the pongs.
            blocked: nothing can be sent for now; keep the newest pong in `held_pong` instead.
        """
        cdef Py_ssize_t used
        cdef size_t take
        # 1.4: after the closing handshake has begun, a peer "discards any further data".
        while self.phase == Phase.OPEN or self.phase == Phase.CLOSE_SENT:
            if not self.in_frame:
                if n == 0:
                    return DONE
                used = self._read_header(data, n)
                if used < 0:
                    return DONE
                data += used
                n -= used
                if not self.in_frame:
                    continue
            take = min(self.frame_left, n)
            if self.frame_first & CONTROL:
                self._read_control(data, take, out, blocked)
            else:
                self._read_payload(data, take)
            if self.in_frame:
                return DONE
            data += take
            n -= take
        return DONE

    cdef Py_ssize_t _read_header(self, uint8_t *data, size_t n) except -2:
        """Reads a header, and with it the payload where a whole message is at hand.

        Returns the number of bytes used, or -1 if the header is not acceptable. The payload
        is to follow if `in_frame` is set.
        """
        cdef Header header
        cdef size_t used = 0
        cdef int size = PARSE_MORE
        if self.header_size:
            # Complete a header that the end of a read has cut.
            while size == PARSE_MORE and used < n:
                self.header[self.header_size] = data[used]
                self.header_size += 1
                used += 1
                size = parse_header(self.header, self.header_size, &header)
            if size > 0:
                self.header_size = 0
        else:
            size = parse_header(data, n, &header)
            if size > 0:
                used = size
            elif size == PARSE_MORE:
                # At most 13 bytes: parse_header needs no more than 14.
                memcpy(self.header, data, n)
                self.header_size = <uint8_t>n
                used = n
        if size == PARSE_MORE:
            return <Py_ssize_t>used
        if size == PARSE_NOT_MINIMAL:
            self.fail(1002, "the length of a frame is not minimal")
            return -1
        if size < 0:
            self.fail(1002, "the length of a frame has its highest bit set")
            return -1
        if not self._begin_frame(&header, <size_t>size):
            return -1
        if (header.first & (FIN | CONTROL | OPCODE)) in (
            FIN | OP_TEXT, FIN | OP_BINARY
        ) and header.length <= n - used:
            # The fast path: a message in one frame, all of it at hand.
            data += used
            used += header.length
            if self.message_compressed:
                unmask(data, data, header.length, header.key)
                self._inflate(data, header.length, self.message_opcode)
            else:
                self._deliver(self.message_opcode, data, header.length, header.key)
            self.message_opcode = 0
            return <Py_ssize_t>used
        self.in_frame = True
        self.frame_first = header.first
        self.frame_key = header.key
        self.frame_left = header.length
        return <Py_ssize_t>used

    cdef bint _begin_frame(self, Header *header, size_t header_size) except -1:
        """Checks a header against the rules and the limits; fails the connection if it errs."""
        cdef uint8_t first = header.first, opcode = header.first & OPCODE
        cdef uint64_t length = header.length
        # 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        # "A client MUST close a connection if it detects a masked frame."
        if header.masked != self.is_server:
            self.fail(1002, "a frame is not masked" if self.is_server else "a frame is masked")
            return False
        # 5.2: RSV1-3 "MUST be 0 unless an extension is negotiated that defines meanings".
        if first & RSV23:
            self.fail(1002, "a reserved bit is set")
            return False
        if opcode & CONTROL:
            return self._admit_control(first, opcode, length)
        if opcode > OP_BINARY:
            self.fail(1002, "an opcode is reserved")
            return False
        if opcode == OP_CONTINUATION:
            # 5.4: a continuation continues a fragmented message;
            # RFC 7692 6.1: only the first frame of a message has RSV1.
            if self.message_opcode == 0 or first & RSV1:
                self.fail(1002, "a continuation frame is out of place")
                return False
        else:
            if self.message_opcode:
                self.fail(1002, "a message begins inside another")
                return False
            if first & RSV1 and self.compression is None:
                self.fail(1002, "a reserved bit is set")
                return False
            self.message_opcode = opcode
            self.message_compressed = (first & RSV1) != 0
            self.message_size = 0
            self.wire_size = 0
            self.tiny_fragments = 0
            self.utf8.due = 0
        return self._admit(first, header_size, length)

    cdef bint _admit(self, uint8_t first, size_t header_size, uint64_t length) except -1:
        """Checks a data frame against the limits."""
        cdef size_t limit = self.bounds.max_message
        if self.message_compressed:
            limit = self.bounds.max_compressed
        # `have > limit - n`, once n is known to be within the limit: a sum of what the peer chose
        # could wrap around, and `limit - have` below zero, where a limit was lowered meanwhile.
        if length > self.bounds.max_frame:
            self.fail(1009, f"a frame has {length} bytes, the limit is {self.bounds.max_frame}")
            return False
        if length > limit or self.message_size > limit - length:
            self.fail(
                1009,
                f"a message has {self.message_size} + {length} bytes or more, "
                f"the limit is {limit}",
            )
            return False
        if (
            header_size + length > self.bounds.max_wire
            or self.wire_size > self.bounds.max_wire - (header_size + length)
        ):
            self.fail(1009, f"a message takes over {self.bounds.max_wire} bytes on the wire")
            return False
        self.wire_size += header_size + length
        if length < TINY_FRAGMENT and (first & (FIN | OPCODE)) not in (
            FIN | OP_TEXT, FIN | OP_BINARY
        ):
            self.tiny_fragments += 1
            if self.tiny_fragments > self.bounds.max_tiny:
                self.fail(1008, f"a message has over {self.bounds.max_tiny} tiny fragments")
                return False
        return True

    cdef bint _admit_control(self, uint8_t first, uint8_t opcode, uint64_t length) except -1:
        if opcode > OP_PONG:
            self.fail(1002, "an opcode is reserved")
            return False
        # 5.5: control frames "MUST have a payload length of 125 bytes or less and MUST NOT be
        # fragmented"; RFC 7692 6.1: nor do they have RSV1.
        if length > MAX_CONTROL or not first & FIN or first & RSV1:
            self.fail(1002, "a control frame is too long, fragmented or compressed")
            return False
        return True

    cdef Done _read_payload(self, uint8_t *data, size_t n) except EXC:
        """Takes n bytes of a data frame that is not whole, or not alone in its message."""
        cdef uint8_t *to
        cdef bint high
        if n:
            to = self._reserve(n)
            high = unmask(to, data, n, self.frame_key)
            # 8.1: fail as soon as no valid text can come of it, not only at the end.
            if (
                self.message_opcode == OP_TEXT
                and not self.message_compressed
                and (high or self.utf8.due)
                and not utf8_feed(&self.utf8, to, n)
            ):
                self.fail(1007, "a text message is not UTF-8")
                return DONE
            self.frame_key = rotate_key(self.frame_key, n)
            self.frame_left -= n
            self.message_size += n
        if self.frame_left == 0:
            self.in_frame = False
            if self.frame_first & FIN:
                self._end_message()
        return DONE

    cdef uint8_t *_reserve(self, size_t n) except NULL:
        """Makes room for n more bytes of the message.

        The buffer doubles as bytes arrive, whatever length the header has announced, so that
        a peer has to send what it wants us to allocate.
        """
        cdef size_t capacity = Py_SIZE(self.buffer) if self.buffer != NULL else 0
        cdef size_t needed = self.message_size + n
        if needed > capacity:
            capacity = max(needed, 2 * capacity, <size_t>FIRST_BUFFER)
            if self.frame_first & FIN:
                capacity = min(capacity, self.message_size + self.frame_left)
            if self.buffer == NULL:
                self.buffer = _new_bytes(NULL, <Py_ssize_t>capacity)
            else:
                _PyBytes_Resize(&self.buffer, <Py_ssize_t>capacity)
        return <uint8_t *>_bytes_data(self.buffer) + self.message_size

    cdef Done _end_message(self) except EXC:
        """Delivers what `buffer` holds."""
        cdef uint8_t opcode = self.message_opcode
        cdef PyObject *buffer = self.buffer
        cdef size_t n = self.message_size
        self.buffer = NULL
        self.message_opcode = 0
        try:
            if self.message_compressed:
                self._inflate(<uint8_t *>_bytes_data(buffer) if n else NULL, n, opcode)
            elif opcode == OP_TEXT and self.utf8.due:
                self.fail(1007, "a text message is not UTF-8")
            elif opcode == OP_TEXT and not self.raw:
                self._push(
                    PyUnicode_DecodeUTF8(_bytes_data(buffer), n, NULL) if n else "", OP_TEXT, n
                )
            elif n == 0:
                self._push(b"", opcode, 0)
            else:
                _PyBytes_Resize(&buffer, <Py_ssize_t>n)
                self._push(<object>buffer, opcode, n)
        finally:
            Py_XDECREF(buffer)
        return DONE

    cdef Done _inflate(self, uint8_t *data, size_t n, uint8_t opcode) except EXC:
        cdef Inflated code
        _scratch.size = 0
        code = self.compression.decompress(data, n, self.bounds.max_message, _scratch)
        if code == INFLATED_TOO_BIG:
            self.fail(1009, f"a message inflates to over {self.bounds.max_message} bytes")
        elif code == INFLATED_CORRUPT:
            self.fail(1007, "a compressed message is corrupt")
        else:
            self._deliver(opcode, _scratch.data, _scratch.size, 0)
        if _scratch.capacity > KEEP_SCRATCH:
            _scratch.release()
        return DONE

    cdef Done _deliver(self, uint8_t opcode, uint8_t *data, size_t n, uint32_t key) except EXC:
        """Unmasks a whole payload straight into the object that the app gets."""
        cdef Utf8State utf8
        cdef bint high
        cdef bytes payload
        cdef object text
        if opcode == OP_BINARY or self.raw:
            payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n)
            high = unmask(<uint8_t *>PyBytes_AS_STRING(payload), data, n, key)
            if opcode == OP_TEXT and high:
                utf8.due = 0
                if not utf8_feed(&utf8, <uint8_t *>PyBytes_AS_STRING(payload), n) or utf8.due:
                    self.fail(1007, "a text message is not UTF-8")
                    return DONE
            return self._push(payload, opcode, n)
        if n == 0:
            return self._push("", OP_TEXT, 0)
        # One pass for ASCII: unmasked into a new str while looking for high bits. Only where
        # there are any, the bytes are decoded from there into a second one.
        text = PyUnicode_New(<Py_ssize_t>n, 127)
        high = unmask(PyUnicode_1BYTE_DATA(text), data, n, key)
        if high:
            try:
                text = PyUnicode_DecodeUTF8(<char *>PyUnicode_1BYTE_DATA(text), n, NULL)
            except UnicodeDecodeError:
                self.fail(1007, "a text message is not UTF-8")
                return DONE
        return self._push(text, OP_TEXT, n)

    cdef Done _push(self, object payload, uint8_t opcode, size_t n) except EXC:
        self.messages += 1
        self.payloads += <uint32_t>n
        # 5.5.1: after our own close frame, messages of the peer have nobody to go to.
        if self.phase == Phase.OPEN:
            self.inbox.push(payload, opcode, n)
        return DONE

    cdef Done _read_control(
        self, uint8_t *data, size_t n, Output out, bint blocked
    ) except EXC:
        """Takes n bytes of a control frame's payload."""
        cdef uint8_t *to
        if self.control is None and n == self.frame_left:
            unmask(data, data, n, self.frame_key)
            self.in_frame = False
            return self.on_control(self.frame_first & OPCODE, data, n, out, blocked)
        if self.control is None:
            self.control = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>self.frame_left)
            self.control_size = 0
        to = <uint8_t *>PyBytes_AS_STRING(self.control)
        unmask(to + self.control_size, data, n, self.frame_key)
        self.frame_key = rotate_key(self.frame_key, n)
        self.frame_left -= n
        self.control_size += n
        if self.frame_left == 0:
            control, self.control = self.control, None
            self.in_frame = False
            self.on_control(self.frame_first & OPCODE, to, len(control), out, blocked)
        return DONE

    cdef Done on_control(
        self, uint8_t opcode, const uint8_t *data, size_t n, Output out, bint blocked
    ) except EXC:
        """Acts on a control frame; see `feed` for the last two arguments."""
        raise NotImplementedError

    cdef Done fail(self, int code, str reason) except EXC:
        """Stops the parser for good; `finish` will tell the peer why."""
        if self.phase == Phase.CLOSE_SENT:
            self.phase = Phase.CLOSED
        elif self.phase == Phase.OPEN:
            self.phase = Phase.FAILED
            self.close_code = code
            self.close_reason = reason
        self.forget_message()
        return DONE

    cdef void forget_message(self) noexcept:
        self.in_frame = False
        self.header_size = 0
        self.message_opcode = 0
        self.control = None
        Py_XDECREF(self.buffer)
        self.buffer = NULL
