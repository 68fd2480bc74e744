"""The whole receiving side in plain Python: what `Connection` has to make of any bytes."""

import codecs
import zlib
from typing import NamedTuple

from fastws.limits import Limits
from tests.wire.reference import (
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TAIL,
    TEXT,
    Header,
    begins_utf8,
    header,
    is_utf8,
    mask,
)

# One more is the highest bit of a length.
UNLIMITED = (1 << 63) - 1


class Outcome(NamedTuple):
    """What bytes from a peer led to.

    Attributes:
        events: messages, pings and pongs as (opcode, payload); text as its UTF-8.
        close: the code of the close frame that is sent; 1005 for one without; None for none.
    """

    events: list[tuple[int, bytes]]
    close: int | None = None


class Expected(NamedTuple):
    """An outcome, and what in the bytes explains why others may differ.

    Attributes:
        outcome: what has to become of them.
        features: the rule that was broken, and whatever else is out of the ordinary.
    """

    outcome: Outcome
    features: set[str]


class Fault(Exception):
    def __init__(self, code: int, rule: str) -> None:
        super().__init__(f"{code} {rule}")
        self.code, self.rule = code, rule


class Window:
    """An inflating stream that knows where messages end, and outlives final blocks."""

    def __init__(self, *, takeover: bool, bits: int = 15) -> None:
        self.takeover, self.bits = takeover, bits
        self.ended = False  # whether any stream of blocks was
        self._history = b""
        self._stream = zlib.decompressobj(wbits=-bits)

    def inflate(self, payload: bytes, limit: int) -> bytes:
        if not payload:
            return b""
        if not self.takeover:
            self._stream = zlib.decompressobj(wbits=-self.bits)
        try:
            data = self._stream.decompress(payload + TAIL, min(limit, 1 << 32) + 1)
        except zlib.error:
            raise Fault(1007, "corrupt deflate") from None
        if len(data) > limit:
            raise Fault(1009, "bomb")
        self._history = (self._history + data)[-(1 << self.bits) :]
        if self._stream.eof:
            self.ended = True
            # RFC 7692 7.2.3.4: the empty block that follows a final one is without its tail.
            if self._stream.unused_data not in {b"", TAIL, b"\x00" + TAIL}:
                raise Fault(1007, "bytes after BFINAL")
            zdict = self._history if self.takeover else b""
            self._stream = zlib.decompressobj(wbits=-self.bits, zdict=zdict)
        elif not self._is_between_blocks():
            raise Fault(1007, "truncated deflate")
        return data

    def _is_between_blocks(self) -> bool:
        """A last block with a word in it gives that word, and nothing else, only there."""
        try:
            probe = self._stream.copy()
            return probe.decompress(b"\x01\x04\x00\xfb\xffword") == b"word" and probe.eof
        except zlib.error:
            return False


class Model:
    """Walks through bytes of the peer, frame by frame; see `expected`."""

    def __init__(self, server: bool, limits: Limits, window: Window | None) -> None:
        self.server, self.window = server, window
        bounds = (limits.max_frame_size, limits.max_message_size, limits.max_wire_size)
        self.max_frame, self.max_message, self.max_wire = (
            UNLIMITED if bound is None else bound for bound in bounds
        )
        self.max_tiny = limits.max_tiny_fragments
        self.events: list[tuple[int, bytes]] = []
        self.close: int | None = None
        self.features: set[str] = set()
        self.opcode = 0  # of the message that is being read
        self.compressed = False
        self.message = b""
        self.wire = self.tiny = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def run(self, data: bytes) -> None:
        at = 0
        while self.close is None and (head := header(data, at)) is not None:
            try:
                self.admit(head)
            except Fault as fault:
                if fault.code != 1009 and head.length > self.max_frame:
                    self.features.add("two faults in a frame")
                raise
            start, at = at + head.size, at + head.size + head.length
            payload = data[start:at]
            if head.masked:
                payload = mask(payload, data[start - 4 : start])
            opcode, whole = head.first & 0x0F, at <= len(data)
            if opcode < CLOSE:
                self.read_data(payload, final=whole and head.first >= FIN)
            elif whole:
                self.read_control(opcode, payload)

    def admit(self, head: Header) -> None:
        """Section 5.2 and the limits, by the header alone."""
        opcode, length = head.first & 0x0F, head.length
        if not head.minimal:
            raise Fault(1002, "non-minimal length")
        if length >= 1 << 63:
            raise Fault(1002, "highest bit of a length")
        if head.masked != self.server:
            raise Fault(1002, "masking")
        if head.first & (RSV2 | RSV3):
            raise Fault(1002, "reserved bits")
        if opcode not in {0, 1, 2, 8, 9, 10}:
            raise Fault(1002, "reserved opcode")
        if opcode >= CLOSE:
            if length > 125 or head.first < FIN or head.first & RSV1:
                raise Fault(1002, "control frame")
            return
        self.begin(opcode, head.first & RSV1)
        if length > self.max_frame:
            raise Fault(1009, "frame size")
        limit = 2 * self.max_message + 65536 if self.compressed else self.max_message
        if len(self.message) + length > limit:
            raise Fault(1009, "message size")
        self.wire += head.size + length
        if self.wire > self.max_wire:
            raise Fault(1009, "wire size")
        if length < 16 and not (opcode and head.first >= FIN):
            self.tiny += 1
            if self.max_tiny is not None and self.tiny > self.max_tiny:
                raise Fault(1008, "tiny fragments")

    def begin(self, opcode: int, rsv1: int) -> None:
        """Section 5.4."""
        if opcode == CONTINUATION:
            if not self.opcode or rsv1:
                raise Fault(1002, "continuation")
            return
        if self.opcode:
            raise Fault(1002, "message inside another")
        if rsv1 and self.window is None:
            raise Fault(1002, "reserved bits")
        self.opcode, self.compressed, self.message = opcode, bool(rsv1), b""
        self.wire = self.tiny = 0
        self.decoder.reset()

    def read_data(self, payload: bytes, *, final: bool) -> None:
        self.message += payload
        if self.opcode == TEXT and not self.compressed:
            try:
                self.decoder.decode(payload, final)
            except UnicodeDecodeError:
                raise Fault(1007, "UTF-8") from None
            # CPython's decoder waits for the last byte of a surrogate.
            if not begins_utf8(self.decoder.getstate()[0]):
                raise Fault(1007, "surrogate")
        if not final:
            return
        message = self.message
        if self.compressed:
            assert self.window is not None
            if not message:
                self.features.add("nothing as compressed")
            message = self.window.inflate(message, self.max_message)
            if self.window.ended:
                self.features.add("BFINAL")
            if self.opcode == TEXT and not is_utf8(message):
                raise Fault(1007, "UTF-8 in deflate")
        self.events.append((self.opcode, message))
        self.opcode = 0

    def read_control(self, opcode: int, payload: bytes) -> None:
        """Section 5.5."""
        if self.opcode:
            kind = "close" if opcode == CLOSE else "ping"
            self.features.add(f"{kind} inside a message")
            if self.compressed:
                self.features.add(f"{kind} inside a compressed message")
        if opcode in {PING, PONG}:
            self.events.append((opcode, payload))
            return
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        if payload and not may_be_sent(code) and not is_utf8(payload[2:]):
            self.features.add("two faults in a frame")
        if code == 1014:
            self.features.add("close 1014")
        if len(payload) == 1 or (payload and not may_be_sent(code)):
            raise Fault(1002, "close code")
        if not is_utf8(payload[2:]):
            raise Fault(1007, "close reason")
        self.close = code


def may_be_sent(code: int) -> bool:
    """Section 7.4, and the codes that IANA registered since."""
    return code in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= code < 5000


def expected(
    data: bytes, *, server: bool = True, limits: Limits | None = None, window: Window | None = None
) -> Expected:
    """Gives what has to become of bytes from a peer."""
    model = Model(server, limits or Limits(), window)
    try:
        model.run(data)
    except Fault as fault:
        model.close = fault.code
        model.features.add(fault.rule)
    if model.opcode and model.compressed:
        model.features.add("unfinished compressed message")
    return Expected(Outcome(model.events, model.close), model.features)
