# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""What the connections of one event loop share, so that an idle one costs next to nothing.

One read buffer, one output buffer, one flush for each turn of the loop, and one timer: it
sweeps over all connections for pings, deadlines and handshakes that take too long.
"""

import math
import threading
from contextvars import copy_context

from cpython.bytearray cimport PyByteArray_AS_STRING

from fastws.wire.frames cimport DONE

cdef enum:
    # Large enough for four messages of 16 KiB, small enough to stay in the L2 cache.
    READ_SIZE = 64 * 1024
    # An output that a large message has grown is given back above this.
    KEEP_OUTPUT = 256 * 1024
    # What a room of 10,000 gets would take 40 ms, in which nothing is read: so much in one go.
    FLUSHES_AT_ONCE = 1000

# How often the sweep looks at a deadline before it has passed; bounds how late it can be.
cdef double LOOKS_PER_DEADLINE = 8
cdef double LONGEST_INTERVAL = 0.5
cdef double SHORTEST_INTERVAL = 0.01
# A drain closes at most this many connections in a second, unless its window is too short.
cdef double DRAIN_RATE = 1000
cdef double DRAIN_STEP = 0.02


cdef class Member:
    cdef Done flush(self) except EXC:
        """Sends what waits."""
        raise NotImplementedError

    cdef Done sweep(self, double now) except EXC:
        """Looks after the deadlines of the connection."""
        raise NotImplementedError

    cdef Done add_buffered(self, Buffered *sums) except EXC:
        """Adds the bytes that wait on the connection, if it is a server's."""
        raise NotImplementedError


cdef class Hub:
    def __init__(self, loop):
        self.loop = loop
        self.thread = threading.get_ident()
        self.counters = Counters(self._buffered)
        self.done = loop.create_future()
        self.done.set_result(None)
        self.context = copy_context()
        self.read_buffer = bytearray(READ_SIZE)
        self.read_view = memoryview(self.read_buffer)
        # Stays valid: an exported bytearray cannot be resized.
        self.read_data = <uint8_t *>PyByteArray_AS_STRING(self.read_buffer)
        self.output = Output()
        self.scratch = Output()
        self.shared = Output()
        self.members = Member()
        self.members.before = self.members.after = self.members
        self.dirty = []
        self.interval = LONGEST_INTERVAL
        self.deadlines = {}
        self.draining = []

    cdef Output borrow(self):
        """Lends the output buffer for one read; whoever comes meanwhile gets one of its own."""
        cdef Output output = self.output
        if output is None:
            return Output()
        self.output = None
        return output

    cdef void give_back(self, Output output) noexcept:
        output.size = 0
        if output.capacity > KEEP_OUTPUT:
            output.release()
        self.output = output

    cdef Done mark_dirty(self, Member member) except EXC:
        """Has a connection flushed before the loop waits for input again."""
        member.dirty = True
        if not self.dirty:
            self.loop.call_soon(self._flush)
        self.dirty.append(member)
        return DONE

    def _flush(self):
        self.flush(FLUSHES_AT_ONCE)
        if self.dirty:
            self.loop.call_soon(self._flush)

    cdef Done flush(self, Py_ssize_t most) except EXC:
        """Sends what waits for the end of this turn of the loop, for so many connections."""
        cdef Member member
        cdef list dirty = self.dirty
        self.dirty = dirty[most:]
        del dirty[most:]
        for member in dirty:
            member.dirty = False
            member.flush()
        if not self.dirty:
            self.shared.size = 0
        return DONE

    # The sweep.

    cdef Done join(self, Member member, double deadline) except EXC:
        """Adds a connection to the sweep; its shortest deadline sets how often that runs."""
        # A set would take 100 bytes for each (5,000 idle connections, RSS).
        cdef Member last = self.members.before
        member.before = last
        member.after = self.members
        last.after = self.members.before = member
        return self._watch(deadline)

    cdef Done leave(self, Member member) except EXC:
        """Takes a connection out of the sweep, if it is there."""
        if member.after is not None:
            member.before.after = member.after
            member.after.before = member.before
            member.before = member.after = None
        return DONE

    def set_deadline(self, protocol, seconds: float) -> None:
        """Has ``protocol.on_deadline()`` called unless `clear_deadline` comes first."""
        self.deadlines[protocol] = self.loop.time() + seconds
        self._watch(seconds)

    def clear_deadline(self, protocol) -> None:
        """Forgets the deadline of a protocol, if it has one."""
        self.deadlines.pop(protocol, None)

    cdef Done _watch(self, double deadline) except EXC:
        cdef double interval = deadline / LOOKS_PER_DEADLINE
        interval = max(SHORTEST_INTERVAL, min(LONGEST_INTERVAL, interval))
        if self.timer is None:
            self.interval = interval
        elif interval < self.interval:
            self.interval = interval
            self.timer.cancel()
        else:
            return DONE
        self.timer = self.loop.call_later(self.interval, self._sweep)
        return DONE

    def _sweep(self):
        cdef Member member
        cdef double now = self.loop.time()
        self.timer = None
        try:
            for protocol, deadline in list(self.deadlines.items()):
                if deadline <= now and self.deadlines.pop(protocol, None) is not None:
                    protocol.on_deadline()
            swept = []
            member = self.members.after
            while member is not self.members:
                swept.append(member)
                member = member.after
            for member in swept:
                # What the sweep tells one app may make it end another connection.
                if member.after is not None:
                    member.sweep(now)
        finally:
            # Whatever one connection has come to, the others still have their deadlines.
            if self.timer is None and (self.members.after is not self.members or self.deadlines):
                self.timer = self.loop.call_later(self.interval, self._sweep)

    def _buffered(self):
        cdef Buffered sums
        cdef Member member = self.members.after
        sums.unsent = sums.unread = 0
        while member is not self.members:
            member.add_buffered(&sums)
            member = member.after
        return sums.unsent, sums.unread

    # Draining.

    def drain(self, close, window: float) -> None:
        """Calls `close` soon, spread with others over at most `window` seconds.

        Clients that reconnect all at once would meet the next server all at once.
        """
        cdef double until = self.loop.time() + window
        if not self.draining:
            self.drain_until = until
            self.loop.call_soon(self._drain)
        self.drain_until = min(self.drain_until, until)
        self.draining.append(close)

    def _drain(self):
        left = max(DRAIN_STEP, self.drain_until - self.loop.time())
        count = max(DRAIN_RATE * DRAIN_STEP, len(self.draining) * DRAIN_STEP / left)
        for _ in range(min(math.ceil(count), len(self.draining))):
            self.draining.pop()()
        if self.draining:
            self.loop.call_later(DRAIN_STEP, self._drain)


cdef dict _hubs = {}


cpdef Hub hub_of(object loop):
    """Gives the hub of an event loop, its first time a new one."""
    hub = _hubs.get(loop)
    if hub is None:
        for other in list(_hubs):
            if other.is_closed():
                del _hubs[other]
        hub = _hubs[loop] = Hub(loop)
    return hub
