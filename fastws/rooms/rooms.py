"""Room -> members, member -> rooms, and the way of a message to all in a room.

A message is encoded once for each codec, goes through the broker as bytes, comes back from it,
here and in other processes, and is prepared (and compressed) once for each codec that members
here have. All this is synchronous with the memory broker: who is in the room when `publish` is
called gets the message, who joins later does not, and publishing never waits for a peer.
"""

import asyncio
from time import perf_counter
from typing import Any

import msgspec

from fastws.closing import CloseCode
from fastws.errors import Disconnected, ProtocolError
from fastws.rooms.brokers.base import Broker
from fastws.rooms.brokers.history import Position
from fastws.rooms.brokers.memory import MemoryBroker
from fastws.rooms.counters import Counters
from fastws.rooms.gap import Gap
from fastws.rooms.member import NO_ROOMS, Codec, Member
from fastws.rooms.outbox import ITEM_COST

# Enough for a path or two identifiers, and what NATS and Redis take without a second thought.
MAX_NAME = 200
# Bytes that may be published before those who send them to members on other servers get their turn;
# each message counts 256 more, as in an outbox.
TURN_SIZE = 128 * 1024
# The channel of broadcasts; no room can have this name.
EVERYBODY = ""


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    """What goes through the broker.

    Attributes:
        payload: a str or bytes as they are; of any other message a dict with what each codec
            made of it, by the codec's subprotocol.
        sender: the id of a member that is not to get it; 0 for none.
        key: for the policy "latest-by-key".
    """

    payload: Any
    sender: int = 0
    key: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Envelope).decode


class _Group:
    """The members of a room that get the same bytes, in the order in which they joined."""

    __slots__ = ("codec", "has_tasks", "members", "prepare", "publish")

    def __init__(self, like: Member) -> None:
        self.codec = like.codec
        # Whether it takes tasks to send to them, as on other servers than ours.
        self.has_tasks = like.place is like
        self.prepare = like.prepare
        self.publish = like.publish
        # By what `publish` looks at: the connections, on our server.
        self.members: dict[Any, Member] = {}


_Groups = dict[Any, _Group]


class Rooms:
    """Who is in which room, and the way of a message to them.

    Names of rooms are case-sensitive and have 1 to 200 bytes of UTF-8. A room is there while it
    has members. All calls come from the thread of the event loop.

    Args:
        broker: how messages get to other processes; by default they do not.

    Attributes:
        broker: the same; `start` and `stop` connect and disconnect it.
        counters: what has become of the messages.
        codecs: those that members in other processes may have, by the subprotocol. Those of
            members here are added by themselves; an `App` adds those of its routes.
    """

    def __init__(self, broker: Broker | None = None) -> None:
        self.broker: Broker = broker or MemoryBroker()
        self.broker.receiver = self
        self.counters = Counters()
        self.codecs: dict[str, Codec] = {}
        self._rooms: dict[str, _Groups] = {}
        # Those who are in a room, by id.
        self._members: dict[int, Member] = {}
        # Bytes that tasks of members are to send, since they had a turn.
        self._since_turn = 0

    async def start(self) -> None:
        """Connects the broker."""
        await self.broker.start()

    async def stop(self) -> None:
        """Disconnects the broker."""
        await self.broker.stop()

    async def settled(self) -> None:
        """Waits until all joins so far hold for what other processes publish, too.

        What this process publishes comes to who has joined in any case.

        Raises:
            OSError: the broker's engine is out of reach.
        """
        await self.broker.settled()

    # Who is where.

    def join(self, member: Member, room: str) -> None:
        """Lets a member be in a room; nothing happens if it is.

        Raises:
            ProtocolError: that is no name for a room, or the member is in `max_rooms` already.
            Disconnected: the member has ended.
        """
        if room in member.rooms:
            return
        if member.ended:
            raise Disconnected()
        check_name(room)
        if member.limits.max_rooms is not None and len(member.rooms) >= member.limits.max_rooms:
            raise ProtocolError(CloseCode.POLICY_VIOLATION, f"over {member.limits.max_rooms} rooms")
        if member.home is not self:
            self._add(member)
        groups = self._rooms.get(room)
        if groups is None:
            groups = self._rooms[room] = {}
            self.broker.subscribe(room)
        _put(groups, member)
        assert isinstance(member.rooms, set)
        member.rooms.add(room)

    def leave(self, member: Member, room: str) -> None:
        """Lets a member be in a room no more; nothing happens if it is not."""
        if room not in member.rooms:
            return
        assert isinstance(member.rooms, set)
        member.rooms.remove(room)
        groups = self._rooms[room]
        name = _group_of(member)
        group = groups[name]
        del group.members[member.place]
        if not group.members:
            del groups[name]
        if not groups:
            del self._rooms[room]
            self.broker.unsubscribe(room)
        if member.outbox is not None:
            member.outbox.leave(room)
        if not member.rooms:
            self._remove(member)

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

    # The way of a message.

    async def publish(
        self, room: str, message: Any, *, exclude: Member | None = None, key: str | None = None
    ) -> None:
        """Sends a message to all in a room, and waits for none of them.

        Args:
            room: the name of the room.
            message: text as str, binary as bytes; anything else the members' codecs encode.
            exclude: who is not to get it: as a rule who speaks.
            key: what the message is about, for members with the policy "latest-by-key".

        Raises:
            ProtocolError: that is no name for a room, or more than the broker's engine takes.
            OSError: the broker's engine is out of reach; see `Broker.publish`.
        """
        groups = self._rooms.get(room)
        if groups is None:
            check_name(room)
        await self.broker.publish(room, self._pack(message, groups or {}, exclude, key))
        await self._give_turn()

    async def broadcast(
        self, message: Any, *, exclude: Member | None = None, key: str | None = None
    ) -> None:
        """Sends a message to all who are in any room, once; else like `publish`."""
        groups = self._everybody()
        await self.broker.publish(EVERYBODY, self._pack(message, groups, exclude, key))
        await self._give_turn()

    def _pack(
        self, message: Any, groups: _Groups, exclude: Member | None, key: str | None
    ) -> bytes:
        if key is not None and not isinstance(key, str):
            raise TypeError(f"a key is a str, not {type(key).__name__}")
        if isinstance(message, (bytearray, memoryview)):
            message = bytes(message)
        elif not isinstance(message, (str, bytes)):
            message = self._encode_for(groups, message)
        return _encode(_Envelope(message, 0 if exclude is None else exclude.id, key))

    def _encode_for(self, groups: _Groups, message: Any) -> dict[str, str | bytes]:
        """Gives what each codec makes of a message, of all that members have."""
        encoded: dict[str, str | bytes] = {}
        for group in groups.values():
            if group.codec is None:
                raise TypeError(f"a member without a codec cannot get a {type(message).__name__}")
            if group.codec.subprotocol not in encoded:
                encoded[group.codec.subprotocol] = group.codec.encode(message)
        if not self.broker.local:
            for name in self.codecs.keys() - encoded.keys():
                encoded[name] = self.codecs[name].encode(message)
        return encoded

    async def _give_turn(self) -> None:
        """Lets those send who are to, so that a burst does not make them seem to be behind."""
        if self._since_turn >= TURN_SIZE:
            self._since_turn = 0
            await asyncio.sleep(0)

    def on_message(self, channel: str, payload: bytes, position: Position | None = None) -> None:
        """Takes a message from the broker to the members that are here."""
        start = perf_counter()
        groups = self._everybody() if channel == EVERYBODY else self._rooms.get(channel)
        if groups is None:
            return
        try:
            envelope = _decode(payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.counters.foreign += 1
            return
        self.counters.published += 1
        excluded = self._members.get(envelope.sender)
        slow: list[Member] = []
        for group in tuple(groups.values()):
            encoded: Any = envelope.payload
            if isinstance(encoded, dict) and group.codec is not None:
                encoded = encoded.get(group.codec.subprotocol)
            if isinstance(encoded, (str, bytes)):
                slow += self._deliver(group, encoded, excluded, envelope.key, channel)
            else:
                # Of a process that does not know the codec of these, such as one of a new version.
                self.counters.foreign += 1
                self._tell_gap(group, channel, 1)
        # Not before all others have it: what an app does then may be to publish, too.
        for member in slow:
            self.counters.disconnected += 1
            member.close(CloseCode.POLICY_VIOLATION, "slow consumer")
        self.counters.seconds += perf_counter() - start

    def on_gap(self, channel: str, lost: int | None) -> None:
        """Tells the members that are here that messages did not come to them."""
        groups = self._everybody() if channel == EVERYBODY else self._rooms.get(channel, {})
        if groups:
            self.counters.gaps += 1
        for group in tuple(groups.values()):
            self._tell_gap(group, channel, lost)

    def _tell_gap(self, group: _Group, room: str, lost: int | None) -> None:
        told = {place: m for place, m in group.members.items() if m.hears_gaps}
        if told and group.codec is not None:
            message = group.prepare(group.codec.encode(Gap(room, lost)))
            for member in group.publish(told, message, None):
                member.miss(room, lost, self.counters)

    def on_foreign(self, channel: str) -> None:
        """Counts what a broker has skipped."""
        self.counters.foreign += 1

    def _deliver(
        self,
        group: _Group,
        payload: str | bytes,
        exclude: Member | None,
        key: str | None,
        room: str,
    ) -> list[Member]:
        """Sends a message to a group; gives those that are to be closed."""
        message = group.prepare(payload)
        place = None if exclude is None else exclude.place
        self.counters.deliveries += len(group.members) - (place in group.members)
        behind = group.publish(group.members, message, place)
        if not behind:
            return []
        self.counters.queued += len(behind)
        size = len(payload.encode() if isinstance(payload, str) else payload)
        if group.has_tasks:
            self._since_turn += size + ITEM_COST
        return [m for m in behind if not m.enqueue(message, size, key, self.counters, room)]

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

    def _everybody(self) -> _Groups:
        groups: _Groups = {}
        for member in self._members.values():
            _put(groups, member)
        return groups


def check_name(room: str) -> None:
    """Checks the name of a room.

    Raises:
        ProtocolError: it is empty, has more than `MAX_NAME` bytes, or is no UTF-8.
        TypeError: it is no str.
    """
    if not isinstance(room, str):
        raise TypeError(f"the name of a room is a str, not {type(room).__name__}")
    try:
        size = len(room) if room.isascii() else len(room.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MAX_NAME:
        raise ProtocolError(
            CloseCode.POLICY_VIOLATION, f"the name of a room has 1 to {MAX_NAME} bytes of UTF-8"
        )


def _group_of(member: Member) -> Any:
    """Gives what the bytes depend on that a member gets, and how it gets them."""
    return (None if member.codec is None else member.codec.subprotocol, member.publish)


def _put(groups: _Groups, member: Member) -> None:
    name = _group_of(member)
    group = groups.get(name)
    if group is None:
        group = groups[name] = _Group(member)
    group.members[member.place] = member
