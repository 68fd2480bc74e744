"""The newest messages of channels, kept in this process, within bounds."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from fastws.rooms.brokers.history import REMEMBER, History, Kept, Log, Position
from fastws.rooms.brokers.numbering import new_epoch
from fastws.rooms.brokers.outgoing import ITEM_COST


class _Ring:
    """The newest messages of a channel, and how many it has had."""

    __slots__ = ("epoch", "expires_at", "messages", "number", "used_at")

    def __init__(self) -> None:
        # Of one that was forgotten and is there again, another.
        self.epoch = new_epoch().decode()
        self.messages: deque[Kept] = deque()
        self.number = 0
        self.used_at = 0.0
        # When the newest message has been kept for long enough.
        self.expires_at = 0.0


class Rings:
    """The rings of all channels. What is over the size goes first from those least in use.

    Args:
        max_size: bytes, the payloads and `ITEM_COST` for each message and each channel.
        clock: gives the time in seconds.

    Attributes:
        size: bytes that are kept.
    """

    def __init__(self, max_size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = 0
        self._max_size = max_size
        self._clock = clock
        # In the order in which they were used.
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        # Those with messages, by their time to live, in the order in which they expire.
        self._expiring: dict[float, OrderedDict[str, _Ring]] = {}

    def keep(self, channel: str, history: History, payload: bytes) -> Position:
        """Adds a message to a channel; gives where it is."""
        ring = self._ring(channel)
        ring.number += 1
        ring.messages.append(Kept(ring.number, payload))
        self.size += len(payload) + ITEM_COST
        while len(ring.messages) > history.count:
            self._drop(ring)
        ring.expires_at = ring.used_at + history.ttl
        expiring = self._expiring.setdefault(history.ttl, OrderedDict())
        expiring[channel] = ring
        expiring.move_to_end(channel)
        self._shrink()
        return Position(ring.epoch, ring.number)

    def log(self, channel: str) -> Log:
        """Gives what is kept of a channel."""
        ring = self._ring(channel)
        complete_after = ring.number - len(ring.messages)
        log = Log(Position(ring.epoch, ring.number), complete_after, list(ring.messages))
        self._shrink()
        return log

    def _ring(self, channel: str) -> _Ring:
        self._expire()
        ring = self._rings.get(channel)
        if ring is None:
            ring = self._rings[channel] = _Ring()
            self.size += ITEM_COST
        self._rings.move_to_end(channel)
        ring.used_at = self._clock()
        return ring

    def _expire(self) -> None:
        """Forgets what has been kept for long enough."""
        now = self._clock()
        for expiring in self._expiring.values():
            while expiring and next(iter(expiring.values())).expires_at <= now:
                _, ring = expiring.popitem(last=False)
                while ring.messages:
                    self._drop(ring)
        while self._rings and next(iter(self._rings.values())).used_at + REMEMBER <= now:
            self._forget()

    def _shrink(self) -> None:
        while self.size > self._max_size and self._rings:
            ring = next(iter(self._rings.values()))
            if ring.messages:
                self._drop(ring)
            else:
                self._forget()

    def _drop(self, ring: _Ring) -> None:
        self.size -= len(ring.messages.popleft().payload) + ITEM_COST

    def _forget(self) -> None:
        """Forgets the ring that was used least lately; it is empty, or its messages are older."""
        channel, ring = self._rings.popitem(last=False)
        while ring.messages:
            self._drop(ring)
        self.size -= ITEM_COST
        for expiring in self._expiring.values():
            expiring.pop(channel, None)
