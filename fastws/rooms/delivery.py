"""The last step of a message: to the members of a room that are here, and what becomes of it."""

import asyncio
from typing import Any

from fastws.closing import CloseCode
from fastws.rooms.counters import Counters
from fastws.rooms.gap import Gap
from fastws.rooms.groups import Group, Groups
from fastws.rooms.member import Member
from fastws.rooms.outbox import ITEM_COST
from fastws.rooms.presence import Joined, Left

# Bytes that may be published before those who send them to members on other servers get their turn;
# each message counts 256 more, as in an outbox.
TURN_SIZE = 128 * 1024


class Delivery:
    """Gives messages to members, without waiting for any.

    Args:
        counters: of all rooms.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        # Bytes that tasks of members are to send, since they had a turn.
        self._since_turn = 0
        # Those who are to be closed, in their order.
        self._slow: dict[Member, None] = {}
        self._closing = False

    async def give_turn(self) -> None:
        """Lets those send who are to, so that a burst does not make them seem to be behind."""
        if self._since_turn >= TURN_SIZE:
            self._since_turn = 0
            await asyncio.sleep(0)

    def deliver(
        self, group: Group, payload: str | bytes, room: str, exclude: Any = None, key: Any = None
    ) -> list[Member]:
        """Sends a message to a group; gives those that are to be closed.

        Args:
            group: the members.
            payload: what they get.
            room: which it was published to.
            exclude: the place of a member that is not to get it.
            key: for the policy "latest-by-key".
        """
        message = group.prepare(payload)
        self._counters.deliveries += len(group.members) - (exclude in group.members)
        behind = group.publish(group.members, message, exclude)
        if not behind:
            return []
        self._counters.queued += len(behind)
        size = len(payload.encode() if isinstance(payload, str) else payload)
        if group.has_tasks:
            self._since_turn += size + ITEM_COST
        if self._slow:
            # Nothing more is for those who are about to be closed.
            behind = [m for m in behind if m not in self._slow]
        return [m for m in behind if not m.enqueue(message, size, key, self._counters, room)]

    def close(self, slow: list[Member]) -> None:
        """Ends members, once all others have what is theirs: an app may publish because of it.

        One after the other: those who are told that one has left may be too slow for that, too.
        """
        self._slow |= dict.fromkeys(slow)
        if self._closing:
            return
        self._closing = True
        try:
            while self._slow:
                member = next(iter(self._slow))
                del self._slow[member]
                if not member.ended:
                    self._counters.disconnected += 1
                    member.close(CloseCode.POLICY_VIOLATION, "slow consumer")
        finally:
            self._closing = False
            # After a failed close, the next message finds the members that are left.
            self._slow.clear()

    def tell(self, groups: Groups, event: Joined | Left) -> None:
        """Tells the members of a room of somebody who has come or gone."""
        slow: list[Member] = []
        for group in tuple(groups.values()):
            if group.hears and group.codec is not None:
                slow += self.deliver(group, group.codec.encode(event), event.room)
        self.close(slow)

    def tell_gap(self, group: Group, room: str, lost: int | None) -> None:
        """Tells a group that messages did not come to it."""
        if group.hears and group.codec is not None:
            message = group.prepare(group.codec.encode(Gap(room, lost)))
            for member in group.publish(group.members, message, None):
                member.miss(room, lost, self._counters)
