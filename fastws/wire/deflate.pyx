# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""permessage-deflate (RFC 7692): the negotiation, and the two streams behind it.

Compression runs message by message. By default no context is kept between messages, so that
one deflate and one inflate stream serve every connection of the process: memory does not
grow with connections, and a broadcast is compressed once for all.
"""

from typing import NamedTuple

import msgspec

from fastws.errors import HandshakeError

from libc.string cimport memset

from fastws.wire.frames cimport DONE

cdef enum:
    # Enough for every deflate block header; a message that inflates to more grows from here.
    FIRST_OUTPUT = 4096
    # Scratch space that a rare large message leaves behind is given back above this.
    KEEP_OUTPUT = 1 << 20
    MAX_WINDOW = 32768
    BLOCK_BOUNDARY = 128
    # zlib counts input in an unsigned int.
    MAX_INPUT = 1 << 30

# 7.2.1: what a sender cuts off the end of a message, and 7.2.2: what a receiver puts back.
cdef const uint8_t *TAIL = [0x00, 0x00, 0xFF, 0xFF]

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Deflate(msgspec.Struct, frozen=True, kw_only=True):
    """How to compress, and what to agree to.

    Attributes:
        context_takeover: keep the streams between messages. Small messages shrink far more;
            each connection then owns its streams (about 60 KiB at 12 bits).
        window_bits: size of the window, 9 to 15; a connection with takeover takes at most 12
            unless its options say otherwise.
        level: effort of zlib, 1 to 9.
        memory_level: memory of zlib's compressor, 1 to 9.
        threshold: messages with fewer bytes are sent as they are; compressing them costs
            more time than it saves bytes.
    """

    context_takeover: bool = False
    window_bits: int = 15
    level: int = 1
    memory_level: int = 8
    threshold: int = 256

    def __post_init__(self) -> None:
        if not 9 <= self.window_bits <= 15:
            raise ValueError("window_bits must be between 9 and 15")
        if not 1 <= self.level <= 9 or not 1 <= self.memory_level <= 9:
            raise ValueError("level and memory_level must be between 1 and 9")
        if self.threshold < 0:
            raise ValueError("threshold must not be negative")


class Params(NamedTuple):
    """What the two sides agreed on, from each side's point of view as sender (RFC 7692 7.1)."""

    server_takeover: bool
    client_takeover: bool
    server_bits: int
    client_bits: int


cdef class Deflater:
    def __cinit__(self, int bits, int level, int memory_level):
        memset(&self.stream, 0, sizeof(z_stream))
        code = deflateInit2(
            &self.stream, level, Z_DEFLATED, -bits, memory_level, Z_DEFAULT_STRATEGY
        )
        if code != Z_OK:
            raise MemoryError()
        self.ready = True

    def __dealloc__(self):
        if self.ready:
            deflateEnd(&self.stream)

    cdef Done compress(self, const uint8_t *data, size_t n, bint reset, Output out) except EXC:
        """Appends the payload of a compressed message to `out`."""
        cdef size_t start = out.size, room
        if n == 0:
            # 7.2.3.6: an empty message is an empty block without its tail. zlib has nothing
            # to flush for the second one in a row, so it is not asked.
            out.reserve(1)[0] = 0x00
            out.size += 1
            return DONE
        if n > MAX_INPUT:
            raise ValueError("a message of more than 1 GiB cannot be compressed")
        if reset:
            deflateReset(&self.stream)
        self.stream.next_in = data
        self.stream.avail_in = <unsigned int>n
        room = deflateBound(&self.stream, n) + 16
        while True:
            self.stream.next_out = out.reserve(room)
            self.stream.avail_out = <unsigned int>room
            deflate(&self.stream, Z_SYNC_FLUSH)
            out.size += room - self.stream.avail_out
            if self.stream.avail_out:
                break
        # 7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
        if out.size - start < 4:
            raise RuntimeError("zlib did not flush")
        out.size -= 4
        return DONE


cdef class Inflater:
    def __cinit__(self, int bits):
        memset(&self.stream, 0, sizeof(z_stream))
        if inflateInit2(&self.stream, -bits) != Z_OK:
            raise MemoryError()
        self.ready = True

    def __dealloc__(self):
        if self.ready:
            inflateEnd(&self.stream)

    cdef Inflated decompress(
        self, const uint8_t *data, size_t n, bint reset, size_t limit, Output out
    ) except INFLATED_EXC:
        """Appends what a compressed message says to `out`, at most `limit` bytes."""
        cdef size_t start = out.size
        cdef int code
        if n == 0:
            # Not what 7.2.3.6 sends for an empty message, but it can mean nothing else; the
            # tail alone would leave the stream in the middle of a block.
            return INFLATED
        if n > MAX_INPUT:
            return INFLATED_TOO_BIG
        if reset:
            inflateReset(&self.stream)
        self.stream.next_in = data
        self.stream.avail_in = <unsigned int>n
        code = self._run(limit, start, out)
        if code == Z_OK:
            self.stream.next_in = TAIL
            self.stream.avail_in = 4
            code = self._run(limit, start, out)
        if out.size - start > limit:
            return INFLATED_TOO_BIG
        if code == Z_STREAM_END:
            # 7.2.3.4: a final block ends the stream, not the connection's context. What may
            # follow is one byte, the header of the empty block whose rest was cut off.
            if not reset:
                self._restart()
            if self.stream.avail_in == 0 or (
                self.stream.avail_in == 1 and self.stream.next_in[0] == 0x00
            ):
                return INFLATED
            return INFLATED_CORRUPT
        # A complete message stops where a block ends, with nothing left to read.
        if code != Z_OK or self.stream.avail_in or not self.stream.data_type & BLOCK_BOUNDARY:
            return INFLATED_CORRUPT
        return INFLATED

    cdef int _run(self, size_t limit, size_t start, Output out) except -100:
        """Inflates until the input is used up, the stream ends, or `limit` is passed."""
        cdef size_t room, have
        cdef int code
        while True:
            have = out.size - start
            if have > limit:
                return Z_OK
            # One byte more than allowed is room enough to see that a message is too big.
            room = min(max(have, <size_t>FIRST_OUTPUT), limit - have + 1, <size_t>MAX_INPUT)
            self.stream.next_out = out.reserve(room)
            self.stream.avail_out = <unsigned int>room
            code = inflate(&self.stream, Z_SYNC_FLUSH)
            out.size += room - self.stream.avail_out
            if code == Z_MEM_ERROR:
                raise MemoryError()
            if code == Z_BUF_ERROR:
                return Z_OK
            if code != Z_OK or (self.stream.avail_out and self.stream.avail_in == 0):
                return code

    cdef Done _restart(self) except EXC:
        """Starts a new stream with the window of the one that ended."""
        cdef uint8_t window[MAX_WINDOW]
        cdef unsigned int size = 0
        cdef const uint8_t *next_in = self.stream.next_in
        cdef unsigned int avail_in = self.stream.avail_in
        inflateGetDictionary(&self.stream, window, &size)
        inflateReset(&self.stream)
        inflateSetDictionary(&self.stream, window, size)
        self.stream.next_in = next_in
        self.stream.avail_in = avail_in
        return DONE


cdef dict _deflaters = {}
cdef Inflater _inflater = None


cdef Deflater _shared_deflater(int bits, int level, int memory_level):
    key = (bits, level, memory_level)
    if key not in _deflaters:
        _deflaters[key] = Deflater(bits, level, memory_level)
    return _deflaters[key]


cdef Inflater _shared_inflater():
    global _inflater
    if _inflater is None:
        _inflater = Inflater(15)
    return _inflater


cdef class Compression:
    def __init__(self, params, options, bint is_server):
        if is_server:
            own_takeover, own_bits = params.server_takeover, params.server_bits
            peer_takeover, peer_bits = params.client_takeover, params.client_bits
        else:
            own_takeover, own_bits = params.client_takeover, params.client_bits
            peer_takeover, peer_bits = params.server_takeover, params.server_bits
        self.params = params
        self.threshold = options.threshold
        self.reset_deflater = not own_takeover
        self.reset_inflater = not peer_takeover
        if own_takeover:
            self.deflater = Deflater(own_bits, options.level, options.memory_level)
        else:
            self.deflater = _shared_deflater(own_bits, options.level, options.memory_level)
        self.inflater = Inflater(peer_bits) if peer_takeover else _shared_inflater()

    cdef Done compress(self, const uint8_t *data, size_t n, Output out) except EXC:
        return self.deflater.compress(data, n, self.reset_deflater, out)

    cdef Inflated decompress(
        self, const uint8_t *data, size_t n, size_t limit, Output out
    ) except INFLATED_EXC:
        return self.inflater.decompress(data, n, self.reset_inflater, limit, out)


cdef list _split(bytes text, uint8_t separator):
    """Splits at a separator outside of quotes, in one pass. Raises ValueError for open quotes."""
    cdef Py_ssize_t start = 0, i = 0, n = len(text)
    cdef bint quoted = False
    cdef uint8_t byte
    cdef const uint8_t *at = <const uint8_t *><const char *>text
    parts = []
    while i < n:
        byte = at[i]
        if quoted and byte == b"\\":
            i += 1
        elif byte == b'"':
            quoted = not quoted
        elif byte == separator and not quoted:
            parts.append(text[start:i].strip(b" \t"))
            start = i + 1
        i += 1
    if quoted:
        raise ValueError("unbalanced quotes")
    parts.append(text[start:].strip(b" \t"))
    return parts


def parse_extensions(value: bytes) -> list:
    """Parses a Sec-WebSocket-Extensions header (RFC 6455 section 9.1) in linear time.

    Returns:
        A (name, parameters) pair for each extension, the parameters a list of pairs of a name
        and a value or None.

    Raises:
        ValueError: the header does not follow the grammar.
    """
    extensions = []
    for element in _split(value, b","):
        if not element:
            continue
        name, *fields = _split(element, b";")
        params = []
        for field in fields:
            key, equals, text = field.partition(b"=")
            key = key.rstrip(b" \t")
            text = text.lstrip(b" \t")
            if len(text) >= 2 and text.startswith(b'"') and text.endswith(b'"'):
                text = text[1 : len(text) - 1]
            # 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF"
            if not _is_token(key) or (equals and not _is_token(text)):
                raise ValueError("a parameter is not a token")
            params.append((key, text if equals else None))
        if not _is_token(name):
            raise ValueError("an extension's name is not a token")
        extensions.append((name, params))
    return extensions


cdef bint _is_token(bytes text):
    return len(text) > 0 and _TOKEN.issuperset(text)


def _read_params(params: list, bint is_offer):
    """Reads the parameters of one element; None if RFC 7692 section 7.1 does not allow them."""
    found = {}
    for key, value in params:
        if key in found:
            return None
        if key in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if value is not None:
                return None
            found[key] = True
        elif key in (b"server_max_window_bits", b"client_max_window_bits"):
            # 7.1.2.2: in an offer, client_max_window_bits may come without a value.
            if value is None and is_offer and key == b"client_max_window_bits":
                found[key] = 15
            # 7.1.2.1: "a decimal integer without leading zeroes between 8 to 15, inclusive"
            elif value in (b"8", b"9", b"10", b"11", b"12", b"13", b"14", b"15"):
                found[key] = int(value)
            else:
                return None
        else:
            return None
    return found


def negotiate(header: bytes, options: Deflate):
    """Chooses among a client's offers (RFC 7692 section 5).

    Args:
        header: the value of Sec-WebSocket-Extensions; several headers joined by commas.
        options: what we are ready to do.

    Returns:
        The agreed `Params` and the value of the response header, or None if no offer will do;
        an offer with unknown, repeated or illegal parameters never does.
    """
    try:
        offers = parse_extensions(header)
    except ValueError:
        return None
    for name, fields in offers:
        if name != b"permessage-deflate":
            continue
        offer = _read_params(fields, True)
        # zlib has no raw stream with a window of 8 bits, so we could not keep that promise.
        if offer is None or offer.get(b"server_max_window_bits") == 8:
            continue
        server_takeover = options.context_takeover and b"server_no_context_takeover" not in offer
        client_takeover = options.context_takeover and b"client_no_context_takeover" not in offer
        server_bits = min(offer.get(b"server_max_window_bits", 15), options.window_bits)
        client_bits = 15
        response = b"permessage-deflate"
        if not server_takeover:
            response += b"; server_no_context_takeover"
        if not client_takeover:
            response += b"; client_no_context_takeover"
        if b"server_max_window_bits" in offer or server_bits < 15:
            response += b"; server_max_window_bits=%d" % server_bits
        # 7.1.2.2: only a client that offered client_max_window_bits may be given one.
        if b"client_max_window_bits" in offer:
            client_bits = min(offer[b"client_max_window_bits"], options.window_bits)
            if client_bits < 15:
                response += b"; client_max_window_bits=%d" % client_bits
        return Params(server_takeover, client_takeover, server_bits, max(client_bits, 9)), response
    return None


def offer(options: Deflate) -> bytes:
    """Gives the value of the Sec-WebSocket-Extensions header that a client sends."""
    text = b"permessage-deflate"
    if not options.context_takeover:
        text += b"; server_no_context_takeover; client_no_context_takeover"
    if options.window_bits < 15:
        text += b"; server_max_window_bits=%d" % options.window_bits
    return text + b"; client_max_window_bits"


def accepted(header: bytes, options: Deflate):
    """Reads a server's answer to `offer` (RFC 7692 section 5.1).

    Raises:
        HandshakeError: the server answered with something that was not offered.
    """
    try:
        extensions = parse_extensions(header)
    except ValueError:
        extensions = []
    found = None
    if len(extensions) == 1 and extensions[0][0] == b"permessage-deflate":
        found = _read_params(extensions[0][1], False)
    # 7.1.1.1 and 7.1.2.1: a server that accepts server_no_context_takeover or
    # server_max_window_bits must say so. And zlib has no raw stream of 8 bits, so a server that
    # wants one from us cannot be served.
    if (
        found is None
        or (not options.context_takeover and b"server_no_context_takeover" not in found)
        or found.get(b"server_max_window_bits", 15) > options.window_bits
        or found.get(b"client_max_window_bits") == 8
    ):
        raise HandshakeError(502, "the server accepted an extension that was not offered")
    return Params(
        b"server_no_context_takeover" not in found,
        options.context_takeover and b"client_no_context_takeover" not in found,
        max(found.get(b"server_max_window_bits", 15), 9),
        min(found.get(b"client_max_window_bits", 15), options.window_bits),
    )
