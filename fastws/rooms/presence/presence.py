"""The rooms that have a presence, by the names they begin with; what `Rooms` calls."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fastws.closing import CloseCode
from fastws.errors import ProtocolError
from fastws.limits import Limits
from fastws.rooms.brokers.base import Broker
from fastws.rooms.counters import Counters
from fastws.rooms.presence.events import LEVELS, Joined, Left, Level, Present
from fastws.rooms.presence.gossip import Gossip
from fastws.rooms.presence.roster import HERE, Roster

# Takes what the members of a room in this process are to be told.
Tell = Callable[[Joined | Left], None]


class Presence:
    """Who is in which room, in all processes.

    Args:
        levels: what is known of rooms whose names begin with a prefix; the longest counts.
        broker: how workers tell each other. One that is local has nobody to tell.
        limits: `presence_lease` counts.
        counters: of all rooms.
        tell: takes what members are to be told.

    Raises:
        ValueError: there is no such level.
    """

    def __init__(
        self,
        levels: Mapping[str, Level],
        broker: Broker,
        limits: Limits,
        counters: Counters,
        tell: Tell,
    ) -> None:
        for level in levels.values():
            if level not in LEVELS:
                raise ValueError(f"{level!r} is no presence; there are {', '.join(LEVELS)}")
        self._levels = sorted(levels.items(), key=lambda each: len(each[0]), reverse=True)
        self._rosters: dict[str, Roster] = {}
        self._tell = tell
        self._gossip: Gossip | None = None
        if levels and not broker.local:
            self._gossip = Gossip(broker, self._rosters, limits, counters)

    async def start(self) -> None:
        """Begins to tell the others, once the broker has been started."""
        if self._gossip is not None:
            self._gossip.start()

    async def stop(self) -> None:
        """Tells them that all who are here are gone."""
        if self._gossip is not None:
            await self._gossip.stop()

    @property
    def population(self) -> int:
        """How many members are known, anywhere, in the rooms that this process looks at."""
        return sum(map(len, self._rosters.values()))

    def level(self, room: str) -> Level | None:
        """Gives what is known of a room; None for nothing."""
        return next((level for prefix, level in self._levels if room.startswith(prefix)), None)

    # Those who are here.

    def public(self, room: str, data: Any, max_size: int | None) -> Any:
        """Gives what a member shows of itself as others have it, in this process or another.

        Args:
            room: where.
            data: anything that msgspec can write as JSON.
            max_size: bytes that it may take as that; None for any.

        Raises:
            ProtocolError: it takes more.
            TypeError: it is nothing that JSON has.
            ValueError: the room has no presence, or only a number.
        """
        if data is None:
            return None
        self._need_members(room)
        encoded = msgspec.json.encode(data)
        if max_size is not None and len(encoded) > max_size:
            reason = f"a member shows at most {max_size} bytes of itself, not {len(encoded)}"
            raise ProtocolError(CloseCode.POLICY_VIOLATION, reason)
        return msgspec.json.decode(encoded)

    def join(self, room: str, member: int, data: Any) -> None:
        """Learns that a member is in a room; tells those who were there before."""
        level = self.level(room)
        if level is None:
            return
        who = present_id(member)
        roster = self._roster(room, level)
        if level == "count":
            roster.part(HERE).count += 1
        else:
            roster.join(HERE, who, data)
        if self._gossip is not None:
            self._gossip.joined(room, who, data)

    def leave(self, room: str, member: int) -> None:
        """Learns that a member, which was in a room, is so no more; tells those who still are."""
        roster = self._rosters.get(room)
        if roster is None:
            return
        who = present_id(member)
        if roster.level == "count":
            roster.part(HERE).count -= 1
        else:
            roster.leave(HERE, who)
        if self._gossip is not None:
            self._gossip.left(room, who)
        elif not len(roster):
            # It may be gone: who was told and is too slow for that has left, too.
            self._rosters.pop(room, None)

    # Those who are anywhere.

    async def members(self, room: str) -> list[Present]:
        """Gives who is in a room.

        Raises:
            ValueError: of this room that is not known.
            OSError: the broker's engine is out of reach.
        """
        self._need_members(room)
        return (await self._complete(room)).list()

    async def count(self, room: str) -> int:
        """Gives how many are in a room; else like `members`."""
        return len(await self._complete(room))

    def _need_members(self, room: str) -> None:
        if self._need_level(room) == "count":
            raise ValueError(f"of the room {room!r} only the number of its members is known")

    def _need_level(self, room: str) -> Level:
        level = self.level(room)
        if level is None:
            raise ValueError(f"the room {room!r} has no presence: App(presence={{prefix: ...}})")
        return level

    async def _complete(self, room: str) -> Roster:
        level = self._need_level(room)
        if self._gossip is None:
            return self._rosters.get(room, Roster(room, level, None))
        roster = self._roster(room, level)
        await self._gossip.complete(roster)
        return roster

    def _roster(self, room: str, level: Level) -> Roster:
        roster = self._rosters.get(room)
        if roster is None:
            roster = self._rosters[room] = Roster(room, level, self._tell)
            if self._gossip is not None:
                self._gossip.open(roster)
        return roster

    # The broker.

    def on_message(self, channel: str, payload: bytes) -> None:
        """Takes what another worker has told."""
        if self._gossip is not None:
            self._gossip.on_message(channel, payload)

    def on_gap(self, channel: str) -> None:
        """Learns that something that another worker has told did not come."""
        if self._gossip is not None:
            self._gossip.on_gap(channel)


def present_id(member: int) -> str:
    """Gives what others call a member: a str, since numbers in browsers have 53 bits."""
    return f"{member:016x}"
