"""A way between workers on which something does not come through."""

from typing import Any

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.history import NO_RECEIPT
from tests.rooms.presence.workers import Worker


class Loss:
    """Loses what a worker publishes, until it stops.

    Attributes:
        lost: to which channel, of each message.

    Args:
        worker: which publishes.
        channels: to these; to any if there are none.
        known: whether the worker is told that it could not be published.
    """

    def __init__(self, worker: Worker, *channels: str, known: bool = False) -> None:
        self.lost: list[str] = []
        self._broker = worker.broker
        self._publish = worker.broker.publish
        self._channels = channels
        self._known = known
        worker.broker.publish = self._lose  # type: ignore[method-assign, assignment]

    async def _lose(self, channel: str, *args: Any) -> Any:
        if self._channels and channel not in self._channels:
            return await self._publish(channel, *args)
        self.lost.append(channel)
        if self._known:
            raise BrokerUnavailable("lost")
        return NO_RECEIPT

    def stop(self) -> None:
        del self._broker.publish  # what its class has is there again
