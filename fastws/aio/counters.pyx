# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""What has happened on the connections of one event loop, in numbers."""

from fastws.closing import label

from fastws.wire.frames cimport DONE


# Upper bounds in seconds: of one machine, one building, one continent, the world; then trouble.
cdef double[RTT_BUCKETS] BOUNDS = [0.002, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5]


cdef class Counters:
    def __init__(self, buffered):
        self.buffered = buffered
        self.closes = {}
        self.refusals = {}

    cdef Done count_close(self, int code, str by) except EXC:
        """Counts the end of a connection that was open."""
        key = (label(code), by)
        self.closes[key] = self.closes.get(key, 0) + 1
        return DONE

    def count_refusal(self, str by, int status):
        """Counts a request that does not become a connection."""
        key = (by, status)
        self.refusals[key] = self.refusals.get(key, 0) + 1

    cdef void count_rtt(self, double seconds) noexcept:
        """Counts a ping that was answered."""
        cdef int i = 0
        while i < RTT_BUCKETS and seconds > BOUNDS[i]:
            i += 1
        self.rtts[i] += 1
        self.rtt_sum += seconds

    def rtt_buckets(self):
        """Gives how many pings were answered within which time."""
        cdef uint64_t total = 0
        cdef list buckets = []
        for i in range(RTT_BUCKETS + 1):
            total += self.rtts[i]
            buckets.append((BOUNDS[i] if i < RTT_BUCKETS else float("inf"), total))
        return buckets
