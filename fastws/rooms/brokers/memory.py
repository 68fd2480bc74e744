"""The broker of one process."""

from fastws.rooms.brokers.base import Receiver


class MemoryBroker:
    """Carries bytes to this process only; what is published arrives before `publish` returns.

    So nothing is ever lost between, and there is nothing to number.
    """

    local = True
    connected = True

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self._channels: set[str] = set()

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

    async def publish(self, channel: str, payload: bytes) -> None:
        """See `Broker`; without a turn of the loop."""
        if self.receiver is not None and channel in self._channels:
            self.receiver.on_message(channel, payload)
