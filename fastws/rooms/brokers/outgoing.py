"""What is on its way to an engine, within bounds."""

import asyncio
from collections import deque
from typing import NamedTuple

from fastws.errors import BrokerUnavailable

# What a message counts besides its payload: a place in the queue, a future.
ITEM_COST = 256
# What goes to the engine at once, at most: messages, and bytes from which on no more is added.
BATCH_COUNT = 256
BATCH_SIZE = 1024 * 1024


class Parcel(NamedTuple):
    """A message on its way, and the future of who has published it."""

    channel: str
    payload: bytes
    taken: asyncio.Future[None]

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

    def put(self, channel: str, payload: bytes) -> asyncio.Future[None]:
        """Adds a message; gives what is done when an engine has it.

        Raises:
            BrokerUnavailable: there is too much already.
        """
        parcel = Parcel(channel, payload, asyncio.get_running_loop().create_future())
        if self._size and self._size + parcel.cost > self._max_size:
            raise BrokerUnavailable(
                f"the broker's engine is slower than what is published: {self._size} bytes wait"
            )
        self._waiting.append(parcel)
        self._size += parcel.cost
        return parcel.taken

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

    def settle(self, parcel: Parcel, why_not: str | None = None) -> None:
        """Tells who waits for what `take` gave that the engine has it, or why not."""
        self._size -= parcel.cost
        settle(parcel.taken, why_not)

    def fail(self, why: str) -> None:
        """Gives up all that wait."""
        while self._waiting:
            self.settle(self._waiting.popleft(), why)


def settle(future: asyncio.Future[None], why_not: str | None) -> None:
    """Tells who waits that it is done, or why not; nobody may wait any more."""
    if future.done():
        return
    if why_not is None:
        future.set_result(None)
    else:
        future.set_exception(BrokerUnavailable(why_not))
