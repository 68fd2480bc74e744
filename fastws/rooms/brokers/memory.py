"""The broker of one process."""

import time
from collections import OrderedDict, deque
from typing import NamedTuple

from fastws.rooms.brokers.base import Receiver
from fastws.rooms.brokers.history import (
    NO_RECEIPT,
    Histories,
    History,
    Kept,
    Past,
    Position,
    Receipt,
)
from fastws.rooms.brokers.numbering import new_epoch

# Seconds for which the id of a message is remembered.
ID_WINDOW = 120.0


class _Ring:
    """The last messages of a channel; another one, once it was forgotten, has another epoch."""

    __slots__ = ("epoch", "expires_at", "messages", "number")

    def __init__(self, history: History) -> None:
        self.epoch = new_epoch().decode()
        self.messages: deque[Kept] = deque(maxlen=history.count)
        self.number = 0
        self.expires_at = 0.0


class _Id(NamedTuple):
    """When a message with an id was published, and what was said to it."""

    when: float
    receipt: Receipt


class MemoryBroker:
    """Carries bytes to this process only; what is published arrives before `publish` returns.

    So nothing is ever lost between. What has a history is numbered, and kept in this process.
    """

    local = True
    connected = True

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.histories = Histories()
        self._channels: set[str] = set()
        # In the order in which they expire, if all have the same time to live.
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._ids: OrderedDict[tuple[str, str], _Id] = OrderedDict()

    async def start(self) -> None:
        """Does nothing: there is no engine."""

    async def stop(self) -> None:
        """Does nothing, either."""

    def subscribe(self, channel: str) -> None:
        """See `Broker`."""
        self._channels.add(channel)

    def unsubscribe(self, channel: str) -> None:
        """See `Broker`."""
        self._channels.discard(channel)

    async def settled(self) -> None:
        """See `Broker`; so it is always."""

    async def publish(self, channel: str, payload: bytes, message_id: str | None = None) -> Receipt:
        """See `Broker`; without a turn of the loop."""
        if message_id is not None:
            first = self._first(channel, message_id)
            if first is not None:
                return first._replace(duplicate=True)
        history = self.histories(channel)
        receipt = NO_RECEIPT if history is None else self._keep(channel, history, payload)
        if message_id is not None:
            self._ids[channel, message_id] = _Id(time.monotonic(), receipt)
        if self.receiver is not None and channel in self._channels:
            self.receiver.on_message(channel, payload, receipt.position)
        return receipt

    async def past(self, channel: str, since: Position | None) -> Past:
        """See `Broker`."""
        history = self.histories(channel)
        if history is None:
            raise RuntimeError(f"the channel {channel!a} has no history")
        ring = self._ring(channel, history)
        position = Position(ring.epoch, ring.number)
        if since is None or since.epoch != ring.epoch:
            return Past(recovered=False, position=position, messages=[])
        kept = [one for one in ring.messages if one.number > since.number]
        if len(kept) != ring.number - since.number:
            return Past(recovered=False, position=position, messages=[])
        return Past(recovered=True, position=position, messages=kept)

    def _keep(self, channel: str, history: History, payload: bytes) -> Receipt:
        ring = self._ring(channel, history)
        ring.number += 1
        ring.messages.append(Kept(ring.number, payload))
        return Receipt(Position(ring.epoch, ring.number))

    def _ring(self, channel: str, history: History) -> _Ring:
        """Gives the ring of a channel, and forgets those of which nothing is to be kept."""
        now = time.monotonic()
        while self._rings:
            name, ring = next(iter(self._rings.items()))
            if now < ring.expires_at:
                break
            del self._rings[name]
        ring = self._rings.get(channel) or _Ring(history)
        self._rings[channel] = ring
        self._rings.move_to_end(channel)
        ring.expires_at = now + history.ttl
        return ring

    def _first(self, channel: str, message_id: str) -> Receipt | None:
        """Gives what was said to a message with this id, if there was one."""
        now = time.monotonic()
        while self._ids:
            key, first = next(iter(self._ids.items()))
            if now - first.when < ID_WINDOW:
                break
            del self._ids[key]
        known = self._ids.get((channel, message_id))
        return None if known is None else known.receipt
