"""Where messages wait for a member that is behind: bounded, with a named policy."""

from collections import OrderedDict
from typing import Any, Literal, NamedTuple, get_args

from fastws.limits import Limits
from fastws.rooms.counters import Counters

Policy = Literal["disconnect", "drop-oldest", "drop-newest", "latest-by-key"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

# What a message counts besides its payload: its place here, and what else is kept of it
# (tracemalloc: 230 bytes for each of 1,000 that are in this outbox only).
ITEM_COST = 256


class _Item(NamedTuple):
    message: Any
    cost: int
    position: int


class Outbox:
    """Messages that wait for one member, in their order, never over the bounds.

    What happens to a message that does not fit is the policy's:

    - ``"disconnect"``: `put` says so, and the member is to be closed.
    - ``"drop-oldest"``: those that have waited longest make room for it.
    - ``"drop-newest"``: it is dropped.
    - ``"latest-by-key"``: `put` says so. But a message takes the place of one that waits with the
      same key. The place, not the end of the line: so each key is sent in its turn, however
      often it changes, while at the end the busiest could wait for ever.

    A message that would not fit into an empty outbox is dropped by both that drop.

    Attributes:
        size: bytes: the payloads, and `ITEM_COST` for each message.
        last: the position of the last message that was put; positions only grow.
    """

    __slots__ = ("_counters", "_items", "_max_count", "_max_size", "_policy", "last", "size")

    def __init__(self, limits: Limits, policy: Policy, counters: Counters) -> None:
        self._max_count = _bound(limits.max_outbox_messages)
        self._max_size = _bound(limits.max_outbox_size)
        self._policy = policy
        self._counters = counters
        # By key, or by position for those without one.
        self._items: OrderedDict[str | int, _Item] = OrderedDict()
        self.size = 0
        self.last = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def first(self) -> int:
        """The position of the message that is next; the outbox must not be empty."""
        return next(iter(self._items.values())).position

    def put(self, message: Any, size: int, key: str | None = None) -> bool:
        """Adds a message, or does what the policy says.

        Args:
            message: what `take` will give.
            size: bytes of its payload.
            key: what it is about; only ``"latest-by-key"`` looks at it.

        Returns:
            False if it does not fit and the member is to be closed; all is as it was before.
        """
        cost = size + ITEM_COST
        if self._policy != "latest-by-key":
            key = None
        if key is not None and key in self._items:
            return self._replace(key, message, cost)
        return self._append(key, message, cost)

    def put_first(self, message: Any, size: int, key: str | None = None) -> None:
        """Adds a message to an empty outbox, however large: of a member who is not behind."""
        self._add(None if self._policy != "latest-by-key" else key, message, size + ITEM_COST)

    def take(self) -> Any:
        """Removes the next message and gives it; the outbox must not be empty."""
        _, item = self._items.popitem(last=False)
        self.size -= item.cost
        return item.message

    def lose(self) -> None:
        """Says that what `take` gave could not be sent."""
        self._counters.undelivered += 1

    def discard(self) -> None:
        """Forgets all, since the connection is over."""
        self._counters.undelivered += len(self._items)
        self._items.clear()
        self.size = 0

    def _append(self, key: str | None, message: Any, cost: int) -> bool:
        if self._policy == "drop-oldest" and cost <= self._max_size:
            while self._items and not self._has_room(cost):
                self.take()
                self._counters.dropped += 1
        if not self._has_room(cost):
            if self._policy.startswith("drop"):
                self._counters.dropped += 1
                return True
            return False
        self._add(key, message, cost)
        return True

    def _add(self, key: str | None, message: Any, cost: int) -> None:
        self.last += 1
        self._items[self.last if key is None else key] = _Item(message, cost, self.last)
        self.size += cost

    def _replace(self, key: str, message: Any, cost: int) -> bool:
        old = self._items[key]
        if self.size - old.cost + cost > self._max_size:
            return False
        self._items[key] = _Item(message, cost, old.position)
        self.size += cost - old.cost
        self._counters.conflated += 1
        return True

    def _has_room(self, cost: int) -> bool:
        return len(self._items) < self._max_count and self.size + cost <= self._max_size


def _bound(limit: int | None) -> float:
    return float("inf") if limit is None else limit
