"""How a member comes back into a room that has a history, without missing or repeating a message.

What is published while it is on its way waits, and comes behind what the broker has kept.
"""

import asyncio
from collections import deque

from fastws.rooms import envelope
from fastws.rooms.brokers.base import Broker
from fastws.rooms.brokers.history import Position
from fastws.rooms.counters import Counters
from fastws.rooms.delivery import TURN_SIZE
from fastws.rooms.gap import Gap
from fastws.rooms.member import Member
from fastws.rooms.outbox import ITEM_COST
from fastws.rooms.position import Resumed, RoomPosition


class CatchUp:
    """A member on its way into a room.

    What is published meanwhile is bounded by the member's `max_outbox_messages` and
    `max_outbox_size`; what does not fit is asked for again. The member's reading sets the pace.

    Attributes:
        position: how far it has come.
        member: who it is.
        left: whether it is to leave the room; then it gets no more.
    """

    def __init__(self, room: str, member: Member, counters: Counters) -> None:
        self.position = Position("", 0)
        self._room = room
        self.member = member
        self.left = False
        self._counters = counters
        self._waiting: deque[tuple[bytes, Position]] = deque()
        self._size = 0
        self._missed = False
        # Bytes that were sent since others had their turn.
        self._since_turn = 0

    def on_message(self, payload: bytes, position: Position) -> None:
        """Takes what is published meanwhile."""
        if self._missed:
            return
        self._waiting.append((payload, position))
        self._size += len(payload) + ITEM_COST
        limits = self.member.limits
        count, size = limits.max_outbox_messages, limits.max_outbox_size
        if (count is not None and len(self._waiting) > count) or (
            size is not None and self._size > size
        ):
            self.on_gap()

    def on_gap(self) -> None:
        """Learns that something did not come: from here on it will be asked for."""
        self._missed = True
        self._waiting.clear()
        self._size = 0

    async def run(self, broker: Broker, since: Position | None) -> Resumed:
        """Sends all since a position; when it returns, nothing is missing up to now.

        Raises:
            OSError: the broker is out of reach, or the connection is over.
        """
        await broker.settled()
        past = await broker.past(self._room, since)
        recovered = since is not None and past.recovered
        self.position = since if since is not None and recovered else past.position
        resumed = Resumed(RoomPosition(self._room, *self.position), recovered)
        await self._tell(resumed)
        while True:
            for kept in past.messages:
                await self._give(kept.payload, Position(past.position.epoch, kept.number))
            if not past.is_part:
                while self._waiting:
                    payload, position = self._waiting.popleft()
                    self._size -= len(payload) + ITEM_COST
                    await self._give(payload, position)
                if not self._missed:
                    return resumed
            if self.left:
                return resumed
            self._missed = False
            past = await broker.past(self._room, self.position)
            if not past.recovered:
                self.position = past.position
                await self._tell(Gap(self._room, None))

    async def _give(self, payload: bytes, position: Position) -> None:
        """Sends a message, unless it was sent already, or by this member."""
        if self.left:
            return
        if position.epoch == self.position.epoch and position.number <= self.position.number:
            return
        self.position = position
        message = envelope.decode(payload)
        if message is None:
            self._counters.foreign += 1
        elif message.sender != self.member.id:
            data = message.payload_for(self.member.codec, RoomPosition(self._room, *position))
            if data is None:
                self._counters.foreign += 1
                await self._tell(Gap(self._room, 1))
            else:
                await self._send(data)

    async def _tell(self, message: Resumed | Gap) -> None:
        if self.member.hears_gaps and self.member.codec is not None:
            await self._send(self.member.codec.encode(message))

    async def _send(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        await self.member.send({"type": "websocket.send", kind: data})
        # One who reads fast enough would have all that is kept in one go.
        self._since_turn += len(data) + ITEM_COST
        if self._since_turn >= TURN_SIZE:
            self._since_turn = 0
            await asyncio.sleep(0)
