"""The broker of one process."""

import time
from collections import OrderedDict
from typing import NamedTuple

from fastws.limits import Limits
from fastws.rooms.brokers.base import Receiver
from fastws.rooms.brokers.history import (
    ID_WINDOW,
    NO_RECEIPT,
    Histories,
    Past,
    Position,
    Receipt,
    digest,
)
from fastws.rooms.brokers.rings import Rings

# Ids of messages that are remembered; of those beyond, the oldest are forgotten before their time.
MAX_IDS = 100_000


class _Id(NamedTuple):
    """When a message with an id was published, and what was said to it."""

    when: float
    receipt: Receipt


class MemoryBroker:
    """Carries bytes to this process only; what is published arrives before `publish` returns.

    So nothing is ever lost between. What has a history is numbered, and kept in this process.

    Args:
        limits: `max_history_size` counts.
    """

    local = True
    connected = True

    def __init__(self, limits: Limits | None = None) -> None:
        self.receiver: Receiver | None = None
        self.histories = Histories()
        self._channels: set[str] = set()
        self._rings = Rings((limits or Limits()).max_history_size)
        self._ids: OrderedDict[str, _Id] = OrderedDict()

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
        name = None if message_id is None else digest(channel, message_id)
        first = None if name is None else self._first(name)
        if first is not None:
            return first._replace(duplicate=True)
        receipt, history = NO_RECEIPT, self.histories(channel)
        if history is not None:
            receipt = Receipt(self._rings.keep(channel, history, payload))
        if name is not None:
            self._remember(name, receipt)
        if self.receiver is not None and channel in self._channels:
            self.receiver.on_message(channel, payload, receipt.position)
        return receipt

    async def past(self, channel: str, since: Position | None) -> Past:
        """See `Broker`."""
        if self.histories(channel) is None:
            raise RuntimeError(f"the channel {channel!a} has no history")
        return self._rings.log(channel).since(since)

    def _remember(self, name: str, receipt: Receipt) -> None:
        self._ids[name] = _Id(time.monotonic(), receipt)
        if len(self._ids) > MAX_IDS:
            self._ids.popitem(last=False)

    def _first(self, name: str) -> Receipt | None:
        """Gives what was said to a message with this id, if there was one."""
        now = time.monotonic()
        while self._ids and next(iter(self._ids.values())).when + ID_WINDOW <= now:
            self._ids.popitem(last=False)
        known = self._ids.get(name)
        return None if known is None else known.receipt
