"""What is on its way to an engine, within bounds."""

import asyncio
from collections import deque
from typing import NamedTuple, TypeVar

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.history import History, Receipt

# What a message counts besides its payload: a place in the queue, a future.
ITEM_COST = 256
# What goes to the engine at once, at most: messages, and bytes from which on no more is added.
BATCH_COUNT = 256
BATCH_SIZE = 1024 * 1024

T = TypeVar("T")


class Parcel(NamedTuple):
    """A message on its way.

    Attributes:
        channel: where to.
        payload: what was published.
        history: what is kept of the channel.
        message_id: what `digest` makes of the channel and the message's id.
        taken: what who has published it waits for.
    """

    channel: str
    payload: bytes
    history: History | None
    message_id: str | None
    taken: asyncio.Future[Receipt]

    @property
    def cost(self) -> int:
        """What it counts."""
        return len(self.payload) + ITEM_COST


class Outgoing:
    """The messages that no engine has taken yet, in their order.

    Args:
        max_size: bytes, the payloads and `ITEM_COST` for each; one message may be larger.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._waiting: deque[Parcel] = deque()
        self._size = 0

    def put(self, parcel: Parcel) -> None:
        """Adds a message.

        Raises:
            BrokerUnavailable: there is too much already.
        """
        if self._size and self._size + parcel.cost > self._max_size:
            raise BrokerUnavailable(
                f"the broker's engine is slower than what is published: {self._size} bytes wait"
            )
        self._waiting.append(parcel)
        self._size += parcel.cost

    def take(self) -> list[Parcel]:
        """Removes those that go next, as many as go at once; they count until they are settled."""
        batch: list[Parcel] = []
        size = 0
        while self._waiting and len(batch) < BATCH_COUNT and size < BATCH_SIZE:
            parcel = self._waiting.popleft()
            if parcel.taken.done():
                # Who has published it does not wait any more.
                self._size -= parcel.cost
            else:
                batch.append(parcel)
                size += parcel.cost
        return batch

    def settle(self, parcel: Parcel, receipt: Receipt | str) -> None:
        """Tells who waits for what `take` gave what the engine says, or why nothing."""
        self._size -= parcel.cost
        settle(parcel.taken, receipt)

    def fail(self, why: str) -> None:
        """Gives up all that wait."""
        while self._waiting:
            self.settle(self._waiting.popleft(), why)


def settle(future: asyncio.Future[T], outcome: T | str) -> None:
    """Tells who waits what has come of it, or why nothing; nobody may wait any more."""
    if future.done():
        return
    if isinstance(outcome, str):
        future.set_exception(BrokerUnavailable(outcome))
    else:
        future.set_result(outcome)
