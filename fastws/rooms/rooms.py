"""Room -> members, member -> rooms, and the way of a message to all in a room.

A message is encoded once for each codec, goes through the broker as bytes, comes back from it,
here and in other processes, and is prepared (and compressed) once for each codec that members
here have. All this is synchronous with the memory broker: who is in the room when `publish` is
called gets the message, who joins later does not, and publishing never waits for a peer.
"""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from fastws.closing import CloseCode
from fastws.errors import Disconnected, ProtocolError
from fastws.limits import Limits
from fastws.rooms import envelope
from fastws.rooms.brokers.base import Broker
from fastws.rooms.brokers.history import Histories, History, Position, Receipt
from fastws.rooms.brokers.memory import MemoryBroker
from fastws.rooms.counters import Counters
from fastws.rooms.delivery import Delivery
from fastws.rooms.envelope import Envelope
from fastws.rooms.groups import Groups, put, remove, without
from fastws.rooms.member import NO_ROOMS, Codec, Member
from fastws.rooms.names import check_name
from fastws.rooms.position import Resumed, RoomPosition
from fastws.rooms.presence import Joined, Left, Level, Presence, Present
from fastws.rooms.resuming import CatchUp

# The channel of broadcasts; no room can have this name.
EVERYBODY = ""


class Rooms:
    """Who is in which room, and the way of a message to them.

    Names of rooms are case-sensitive and have 1 to 200 bytes of UTF-8. A room is there while it
    has members. All calls come from the thread of the event loop.

    Args:
        broker: how messages get to other processes; by default they do not.
        history: what is kept of which rooms, for members that come back; by what their names
            begin with, "" for all. By default nothing.
        presence: of which rooms all processes know who is in them, and what, likewise.
        limits: `presence_lease` counts.

    Attributes:
        broker: the same; `start` and `stop` connect and disconnect it.
        counters: what has become of the messages.
        codecs: those that members in other processes may have, by the subprotocol. Those of
            members here are added by themselves; an `App` adds those of its routes.
    """

    def __init__(
        self,
        broker: Broker | None = None,
        history: Mapping[str, History] | None = None,
        presence: Mapping[str, Level] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.broker: Broker = broker or MemoryBroker()
        self.broker.receiver = self
        self._history_of = self.broker.histories = Histories(history)
        self.counters = Counters()
        self._delivery = Delivery(self.counters)
        self._presence = Presence(
            presence or {}, self.broker, limits or Limits(), self.counters, self._tell
        )
        self.codecs: dict[str, Codec] = {}
        self._rooms: dict[str, Groups] = {}
        # By room: those who are on their way into it; and those who have come, and had messages
        # then that the broker has not brought yet.
        self._catching: dict[str, list[CatchUp]] = {}
        self._ahead: dict[str, dict[Member, Position]] = {}
        # Those who are in a room, by id.
        self._members: dict[int, Member] = {}

    async def start(self) -> None:
        """Connects the broker."""
        await self.broker.start()
        await self._presence.start()

    async def stop(self) -> None:
        """Disconnects the broker."""
        await self._presence.stop()
        await self.broker.stop()

    async def settled(self) -> None:
        """Waits until all joins so far hold for what other processes publish, too.

        What this process publishes comes to who has joined in any case.

        Raises:
            OSError: the broker's engine is out of reach.
        """
        await self.broker.settled()

    # Who is where.

    def join(self, member: Member, room: str, data: Any = None) -> None:
        """Lets a member be in a room; nothing happens if it is.

        Args:
            member: who.
            room: the name of the room.
            data: what it shows of itself, where the room has a presence.

        Raises:
            ProtocolError: that is no name for a room, the member is in `max_rooms` already, comes
                into this one by `resume`, or shows more than `max_presence_size`.
            Disconnected: the member has ended.
            TypeError: what it shows is nothing that JSON has.
            ValueError: the room has no presence in which it could be shown.
        """
        if room in member.rooms:
            return
        self._expect_not_coming(member, room)
        self._join(member, room, data)

    def _join(self, member: Member, room: str, data: Any) -> None:
        data = self._check(member, room, data)
        if member.home is not self:
            self._add(member)
        self._presence.join(room, member.id, data)
        self._want(room)
        put(self._rooms.setdefault(room, {}), member)
        assert isinstance(member.rooms, set)
        member.rooms.add(room)

    async def resume(self, member: Member, position: RoomPosition, data: Any = None) -> Resumed:
        """Lets a member be in a room again, and sends it what it has missed since a position.

        It gets a `Resumed`, then what it has missed, as fast as it reads, and then all that is
        published to the room. Until this returns it does not count as in the room.

        Args:
            member: who comes; if it is in the room it leaves first.
            position: that of its last message; ``RoomPosition("lobby")`` for who had none, and
                is to learn where it is.
            data: as in `join`.

        Raises:
            ProtocolError: as `join`, and for a room without a history.
            Disconnected: the member has ended.
            OSError: the broker's engine is out of reach, or the connection is over.
        """
        room = position.room
        self._expect_not_coming(member, room)
        self.leave(member, room)
        data = self._check(member, room, data)
        if self._history_of(room) is None:
            raise ProtocolError(CloseCode.POLICY_VIOLATION, "this room has no history")
        catching = CatchUp(room, member, self.counters)
        self._want(room)
        self._catching.setdefault(room, []).append(catching)
        try:
            since = Position(position.epoch, position.number) if position.epoch else None
            resumed = await catching.run(self.broker, since)
            if not catching.left:
                self._join(member, room, data)
                self._ahead.setdefault(room, {})[member] = catching.position
        finally:
            self._catching[room].remove(catching)
            if not self._catching[room]:
                del self._catching[room]
            self._unwant(room)
        self.counters.resumed += 1
        self.counters.recovered += resumed.recovered
        return resumed

    def leave(self, member: Member, room: str) -> None:
        """Lets a member be in a room no more, or not come into it; nothing happens if it is not."""
        for catching in self._catching.get(room, ()):
            catching.left |= catching.member is member
        if room not in member.rooms:
            return
        assert isinstance(member.rooms, set)
        member.rooms.remove(room)
        groups = self._rooms[room]
        remove(groups, member)
        if not groups:
            del self._rooms[room]
            self._unwant(room)
        ahead = self._ahead.get(room, {})
        if ahead.pop(member, None) is not None and not ahead:
            del self._ahead[room]
        if member.outbox is not None:
            member.outbox.leave(room)
        if not member.rooms:
            self._remove(member)
        self._presence.leave(room, member.id)

    def _check(self, member: Member, room: str, data: Any) -> Any:
        """Gives what a member shows as others have it, if it may come into the room."""
        if member.ended:
            raise Disconnected()
        check_name(room)
        if member.limits.max_rooms is not None and len(member.rooms) >= member.limits.max_rooms:
            raise ProtocolError(CloseCode.POLICY_VIOLATION, f"over {member.limits.max_rooms} rooms")
        return self._presence.public(room, data, member.limits.max_presence_size)

    def _expect_not_coming(self, member: Member, room: str) -> None:
        """Whoever came twice at once would get all of it twice."""
        if any(each.member is member and not each.left for each in self._catching.get(room, ())):
            raise ProtocolError(CloseCode.POLICY_VIOLATION, "it comes into this room already")

    def _want(self, room: str) -> None:
        if room not in self._rooms and room not in self._catching:
            self.broker.subscribe(room)

    def _unwant(self, room: str) -> None:
        if room not in self._rooms and room not in self._catching:
            self.broker.unsubscribe(room)

    def leave_all(self, member: Member) -> None:
        """Lets a member be in no room; takes as long as it is in rooms."""
        for room in tuple(member.rooms):
            self.leave(member, room)

    def members(self, room: str) -> list[Member]:
        """Gives those who are in a room of this process."""
        groups = self._rooms.get(room, {})
        return [member for group in groups.values() for member in group.members.values()]

    def count(self, room: str) -> int:
        """Gives their number."""
        return sum(len(group.members) for group in self._rooms.get(room, {}).values())

    def names(self) -> list[str]:
        """Gives the names of all rooms of this process."""
        return list(self._rooms)

    @property
    def population(self) -> int:
        """The number of members that are in a room of this process."""
        return len(self._members)

    @property
    def outbox_size(self) -> int:
        """Bytes that wait for members of this process; looks at each of them."""
        outboxes = (member.outbox for member in self._members.values())
        return sum(outbox.size for outbox in outboxes if outbox is not None)

    async def presence(self, room: str) -> list[Present]:
        """Gives those who are in a room, in all processes, as far as those have told.

        Raises:
            ValueError: the room has no presence, or only a number.
            OSError: the broker's engine is out of reach.
        """
        return await self._presence.members(room)

    async def presence_count(self, room: str) -> int:
        """Gives their number; else like `presence`."""
        return await self._presence.count(room)

    @property
    def presence_known(self) -> int:
        """The number of those that this process knows of, in all rooms that it looks at."""
        return self._presence.population

    # The way of a message.

    async def publish(
        self,
        room: str,
        message: Any,
        *,
        exclude: Member | None = None,
        key: str | None = None,
        message_id: str | None = None,
    ) -> Receipt:
        """Sends a message to all in a room, and waits for none of them.

        Args:
            room: the name of the room.
            message: text as str, binary as bytes; anything else the members' codecs encode.
            exclude: who is not to get it: as a rule who speaks.
            key: what the message is about, for members with the policy "latest-by-key".
            message_id: see `Broker.publish`; who does not know whether a message was taken
                publishes it once more with the same.

        Returns:
            What the engine says to it, which has it now.

        Raises:
            ProtocolError: that is no name for a room, or more than the broker's engine takes.
            OSError: the broker's engine is out of reach; see `Broker.publish`.
            ValueError: the engine cannot tell messages by their ids in this room.
        """
        groups = self._rooms.get(room)
        if groups is None:
            check_name(room)
        kept = self._history_of(room) is not None
        payload = self._pack(message, groups or {}, exclude, key, kept)
        receipt = await self.broker.publish(room, payload, message_id)
        await self._delivery.give_turn()
        return receipt

    async def broadcast(
        self, message: Any, *, exclude: Member | None = None, key: str | None = None
    ) -> None:
        """Sends a message to all who are in any room, once; else like `publish`."""
        groups = self._everybody()
        await self.broker.publish(EVERYBODY, self._pack(message, groups, exclude, key, False))
        await self._delivery.give_turn()

    def _pack(
        self, message: Any, groups: Groups, exclude: Member | None, key: str | None, kept: bool
    ) -> bytes:
        if key is not None and not isinstance(key, str):
            raise TypeError(f"a key is a str, not {type(key).__name__}")
        if isinstance(message, (bytearray, memoryview)):
            message = bytes(message)
        elif not isinstance(message, (str, bytes)):
            if kept and "position" in getattr(message, "__struct_fields__", ()):
                raise TypeError("a room with a history adds a field 'position' to each message")
            others = self.codecs if kept or not self.broker.local else {}
            message = envelope.encode_for(groups, others, message)
        return envelope.encode(Envelope(message, 0 if exclude is None else exclude.id, key))

    def on_message(self, channel: str, payload: bytes, position: Position | None = None) -> None:
        """Takes a message from the broker to the members that are here."""
        start = perf_counter()
        place = None
        if position is not None and self._history_of(channel) is not None:
            place = RoomPosition(channel, *position)
            for catching in self._catching.get(channel, ()):
                catching.on_message(payload, position)
        groups = self._everybody() if channel == EVERYBODY else self._rooms.get(channel)
        if groups is None:
            self._presence.on_message(channel, payload)
            return
        message = envelope.decode(payload)
        if message is None:
            self.counters.foreign += 1
            return
        self.counters.published += 1
        sender = self._members.get(message.sender)
        excluded = None if sender is None else sender.place
        late = self._late(channel, position) if self._ahead else None
        slow: list[Member] = []
        for group in tuple(groups.values()):
            encoded = message.payload_for(group.codec, place)
            if encoded is not None:
                others = without(group, late) if late else group
                slow += self._delivery.deliver(others, encoded, channel, excluded, message.key)
            else:
                # Of a process that does not know the codec of these, such as one of a new version.
                self.counters.foreign += 1
                self._delivery.tell_gap(group, channel, 1)
        if slow:
            self._delivery.close(slow)
        self.counters.seconds += perf_counter() - start

    def _late(self, room: str, position: Position | None) -> set[Member]:
        """Gives those who have had the message that comes, when they came into the room."""
        ahead = self._ahead.get(room)
        if not ahead or position is None:
            return set()
        late = {
            member
            for member, last in ahead.items()
            if last.epoch == position.epoch and position.number <= last.number
        }
        if not late:
            del self._ahead[room]
        return late

    def on_gap(self, channel: str, lost: int | None) -> None:
        """Tells the members that are here that messages did not come to them."""
        for catching in self._catching.get(channel, ()):
            catching.on_gap()
        groups = self._everybody() if channel == EVERYBODY else self._rooms.get(channel, {})
        if groups:
            self.counters.gaps += 1
        for group in tuple(groups.values()):
            self._delivery.tell_gap(group, channel, lost)
        self._presence.on_gap(channel)

    def _tell(self, event: Joined | Left) -> None:
        self._delivery.tell(self._rooms.get(event.room, {}), event)

    def on_foreign(self, channel: str) -> None:
        """Counts what a broker has skipped."""
        self.counters.foreign += 1

    # Everybody.

    def _add(self, member: Member) -> None:
        if member.home is not None:
            raise RuntimeError("the member is in rooms elsewhere")
        member.home = self
        member.rooms = set()
        if member.codec is not None:
            self.codecs[member.codec.subprotocol] = member.codec
        if not self._members:
            self.broker.subscribe(EVERYBODY)
        self._members[member.id] = member

    def _remove(self, member: Member) -> None:
        member.home = None
        member.rooms = NO_ROOMS
        del self._members[member.id]
        if not self._members:
            self.broker.unsubscribe(EVERYBODY)

    def _everybody(self) -> Groups:
        groups: Groups = {}
        for member in self._members.values():
            put(groups, member)
        return groups
