"""Where messages wait for a member that is behind: bounded, with a named policy."""

from collections import OrderedDict
from typing import Any, Literal, NamedTuple, get_args

from fastws.limits import Limits
from fastws.rooms.counters import Counters
from fastws.rooms.gap import Gap

Policy = Literal["disconnect", "drop-oldest", "drop-newest", "latest-by-key"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

# What a message counts besides its payload: its place here, and what else is kept of it
# (tracemalloc: 230 bytes for each of 1,000 that are in this outbox only).
ITEM_COST = 256


class _Item(NamedTuple):
    message: Any
    cost: int
    position: int
    room: str


class Outbox:
    """Messages that wait for one member, in their order, never over the bounds.

    What happens to a message that does not fit is the policy's:

    - ``"disconnect"``: `put` says so, and the member is to be closed.
    - ``"drop-oldest"``: those that have waited longest make room for it.
    - ``"drop-newest"``: it is dropped.
    - ``"latest-by-key"``: `put` says so. But a message takes the place of one that waits with the
      same key. The place, not the end of the line: so each key is sent in its turn, however
      often it changes, while at the end the busiest could wait for ever.

    A message that would not fit into an empty outbox is dropped by both that drop. Of what is
    dropped the member is told by a `Gap`, one for each room, before all that waits.

    Args:
        limits: `max_outbox_messages` and `max_outbox_size` count.
        policy: what happens to a message that does not fit.
        counters: of all outboxes.
        tells_gaps: whether `take` gives a `Gap`; else what is dropped is only counted.

    Attributes:
        size: bytes: the payloads, and `ITEM_COST` for each message.
        last: the position of the last message that was put; positions only grow.
    """

    __slots__ = (
        "_counters",
        "_gaps",
        "_items",
        "_max_count",
        "_max_size",
        "_policy",
        "_tells_gaps",
        "last",
        "size",
    )

    def __init__(
        self, limits: Limits, policy: Policy, counters: Counters, tells_gaps: bool = False
    ) -> None:
        self._max_count = _bound(limits.max_outbox_messages)
        self._max_size = _bound(limits.max_outbox_size)
        self._policy = policy
        self._counters = counters
        self._tells_gaps = tells_gaps
        # By key, or by position for those without one.
        self._items: OrderedDict[str | int, _Item] = OrderedDict()
        # By room, what `Gap` says; there are no more than rooms that the member is in.
        self._gaps: dict[str, int | None] = {}
        self.size = 0
        self.last = 0

    def __len__(self) -> int:
        return len(self._items) + len(self._gaps)

    @property
    def first(self) -> int:
        """The position of what is next; the outbox must not be empty."""
        return 0 if self._gaps else next(iter(self._items.values())).position

    def put(self, message: Any, size: int, key: str | None = None, room: str = "") -> bool:
        """Adds a message, or does what the policy says.

        Args:
            message: what `take` will give.
            size: bytes of its payload.
            key: what it is about; only ``"latest-by-key"`` looks at it.
            room: which it was published to.

        Returns:
            False if it does not fit and the member is to be closed; all is as it was before.
        """
        cost = size + ITEM_COST
        if self._policy != "latest-by-key":
            key = None
        if key is not None and key in self._items:
            return self._replace(key, message, cost, room)
        return self._append(key, message, cost, room)

    def put_first(self, message: Any, size: int, key: str | None = None, room: str = "") -> None:
        """Adds a message to an empty outbox, however large: of a member who is not behind."""
        self._add(None if self._policy != "latest-by-key" else key, message, size + ITEM_COST, room)

    def miss(self, room: str, lost: int | None) -> None:
        """Adds to what the next `Gap` of a room says, if that is told."""
        if self._tells_gaps:
            before = self._gaps.get(room, 0)
            self._gaps[room] = None if lost is None or before is None else before + lost

    def leave(self, room: str) -> None:
        """Forgets the `Gap` of a room that the member is in no more."""
        self._gaps.pop(room, None)

    def take(self) -> Any:
        """Removes what is next, a `Gap` or a message, and gives it; there must be something."""
        if self._gaps:
            room = next(iter(self._gaps))
            return Gap(room, self._gaps.pop(room))
        return self._take().message

    def _take(self) -> _Item:
        _, item = self._items.popitem(last=False)
        self.size -= item.cost
        return item

    def lose(self) -> None:
        """Says that what `take` gave could not be sent."""
        self._counters.undelivered += 1

    def discard(self) -> None:
        """Forgets all, since the connection is over."""
        self._counters.undelivered += len(self._items)
        self._items.clear()
        self._gaps.clear()
        self.size = 0

    def _append(self, key: str | None, message: Any, cost: int, room: str) -> bool:
        if self._policy == "drop-oldest" and cost <= self._max_size:
            while self._items and not self._has_room(cost):
                self._drop(self._take().room)
        if not self._has_room(cost):
            if self._policy.startswith("drop"):
                self._drop(room)
                return True
            return False
        self._add(key, message, cost, room)
        return True

    def _drop(self, room: str) -> None:
        self._counters.dropped += 1
        self.miss(room, 1)

    def _add(self, key: str | None, message: Any, cost: int, room: str) -> None:
        self.last += 1
        self._items[self.last if key is None else key] = _Item(message, cost, self.last, room)
        self.size += cost

    def _replace(self, key: str, message: Any, cost: int, room: str) -> bool:
        old = self._items[key]
        if self.size - old.cost + cost > self._max_size:
            return False
        self._items[key] = _Item(message, cost, old.position, room)
        self.size += cost - old.cost
        self._counters.conflated += 1
        return True

    def _has_room(self, cost: int) -> bool:
        return len(self._items) < self._max_count and self.size + cost <= self._max_size


def _bound(limit: int | None) -> float:
    return float("inf") if limit is None else limit
