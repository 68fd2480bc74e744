"""How workers tell each other who is where.

Each worker owns what it says of its own members, and keeps in memory what others have said of
theirs. It does so for rooms that it has members in, and for a while for those that somebody here
has asked about. An engine stores nothing, so nothing can be left behind there.

Time is counted in beats: a worker says that it is alive, and counts when that comes back from the
engine. So an engine that stands still, or this process itself, makes nobody else seem to be gone;
no clock is compared with that of another machine.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, NoReturn

import msgspec

from fastws.errors import BrokerUnavailable
from fastws.limits import Limits
from fastws.rooms.brokers.base import Broker
from fastws.rooms.counters import Counters
from fastws.rooms.presence.messages import (
    NOBODY,
    Alive,
    Ask,
    Bye,
    Change,
    Count,
    Entry,
    State,
    decode_for_all,
    decode_for_room,
    encode,
    pieces,
)
from fastws.rooms.presence.peers import Peer, Peers
from fastws.rooms.presence.roster import HERE, Part, Roster

logger = logging.getLogger("fastws.rooms")

# No room can have a name that begins like these.
EVERYWHERE = "\0presence"
PREFIX = "\0presence:"
# A lease is so many beats.
BEATS = 5
# So many beats after nobody here is in a room, or asks about it, it is not followed any more.
LINGER = 2 * BEATS
# Rooms that are compared in a beat, and that are asked for at once.
COMPARED = 64
ASKED = 256
# What is published at once; each is about a piece (`PIECE_SIZE`), at most.
BATCH = 64
# Seconds that a worker waits as it stops until the engine has its farewell.
FAREWELL = 1.0


class Gossip:
    """What one worker says to the others, and hears from them.

    Args:
        broker: what carries it.
        rosters: the rooms that are followed, by name.
        limits: `presence_lease` counts.
        counters: of all rooms.
    """

    def __init__(
        self, broker: Broker, rosters: dict[str, Roster], limits: Limits, counters: Counters
    ) -> None:
        if not limits.presence_lease:
            raise ValueError("presence_lease has to be above 0")
        self._broker = broker
        self._rosters = rosters
        self._lease = limits.presence_lease
        self._counters = counters
        self._worker = ""
        self._peers = Peers(BEATS)
        # How often it has said that it is alive, which of that has come back last, and how often.
        self._age = 0
        self._heard = 0
        self._beats = 0
        self._version = 0
        # What is to be said: of whom others do not know, by room; the rooms of which all is told
        # anew; the rooms that are asked for, by whom; and, to a new worker, that there is this one.
        self._changes: dict[str, list[Entry]] = {}
        self._states: set[str] = set()
        self._asks: dict[str, set[str]] = {}
        self._greets = False
        # The rooms that will be compared next.
        self._rotation: list[str] = []
        self._work = asyncio.Event()
        self._task: asyncio.Task[NoReturn] | None = None

    def start(self) -> None:
        """Begins to speak, under a new name."""
        self._worker = secrets.token_hex(8)
        self._age = self._heard = self._beats = 0
        self._work = asyncio.Event()
        for roster in self._rosters.values():
            self._states.add(roster.room)
            roster.complete.clear()
        self._broker.subscribe(EVERYWHERE)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Says farewell, and forgets the others."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._broker.publish(EVERYWHERE, encode(Bye(self._worker)))
        self._broker.unsubscribe(EVERYWHERE)
        for worker in self._peers.clear():
            self._drop(worker)

    # What happens here.

    def open(self, roster: Roster) -> None:
        """Begins to follow a room."""
        roster.used = self._beats
        self._broker.subscribe(PREFIX + roster.room)
        self._ask(roster, self._peers.present())

    def joined(self, room: str, who: str, data: Any) -> None:
        """Has the others be told of somebody who has come."""
        self._changes.setdefault(room, []).append(Entry(who, data))
        self._work.set()

    def left(self, room: str, who: str) -> None:
        """Has the others be told of somebody who has gone."""
        self._changes.setdefault(room, []).append(Entry(who, left=True))
        self._rosters[room].used = self._beats
        self._work.set()

    async def complete(self, roster: Roster) -> None:
        """Waits until it is known who is in a room.

        Raises:
            BrokerUnavailable: the engine is out of reach, or stands still.
        """
        if not self._broker.connected:
            raise BrokerUnavailable("who is in a room is not known while the engine is not there")
        roster.used = self._beats
        try:
            # Whoever does not answer within a lease is gone.
            async with asyncio.timeout(2 * self._lease):
                await roster.complete.wait()
        except TimeoutError:
            why = f"not all workers have told who is in {roster.room!r}"
            raise BrokerUnavailable(why) from None

    # What is said.

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._work.wait()
            self._work.clear()
            if loop.time() >= due:
                due = loop.time() + self._lease / BEATS
                self._age += 1
                self._greets = True
            await self._publish(self._news())

    async def _publish(self, news: Iterator[tuple[str, bytes]]) -> None:
        while batch := list(islice(news, BATCH)):
            results = await asyncio.gather(
                *(self._broker.publish(*each) for each in batch), return_exceptions=True
            )
            for (channel, _), result in zip(batch, results, strict=True):
                if isinstance(result, OSError):
                    # Another time; what is said on the other channel is said again in any case.
                    self._states.update([channel.removeprefix(PREFIX)] * (channel != EVERYWHERE))
                elif isinstance(result, Exception):
                    logger.warning("who is where cannot be told: %r", result)

    def _news(self) -> Iterator[tuple[str, bytes]]:
        """Gives what is to be said now, and on which channels."""
        if self._greets:
            self._greets = False
            yield EVERYWHERE, encode(Alive(self._worker, self._age, self._known()))
        changes, self._changes = self._changes, {}
        for room, entries in changes.items():
            for change in self._change(room, entries):
                yield PREFIX + room, encode(change)
        if self._broker.connected:
            states, self._states = self._states, set()
            for room in states:
                for state in self._state(room):
                    yield PREFIX + room, encode(state)
        asks, self._asks = self._asks, {}
        for whom, rooms in asks.items():
            names = iter(rooms)
            while some := list(islice(names, ASKED)):
                yield EVERYWHERE, encode(Ask(self._worker, whom, some))

    def _known(self) -> dict[str, dict[str, int]]:
        """Gives what is known of those rooms whose turn it is."""
        if not self._rotation:
            known = (each for each in self._rosters.values() if each.complete.is_set())
            self._rotation = [each.room for each in known]
        some, self._rotation = self._rotation[:COMPARED], self._rotation[COMPARED:]
        rosters = [self._rosters[room] for room in some if room in self._rosters]
        return {
            each.room: {who: part.version for who, part in each.parts.items() if who != HERE}
            for each in rosters
        }

    def _change(self, room: str, entries: list[Entry]) -> Iterator[Change]:
        roster = self._rosters[room]
        part = roster.part(HERE)
        if not part:
            # Nobody may be here to answer whoever misses it, so it does not depend on others.
            del roster.parts[HERE]
        if not part or roster.level == "count":
            self._next_version(part)
            self._states.add(room)
            return
        for piece in pieces(entries):
            before = part.version
            self._next_version(part)
            yield Change(self._worker, before, part.version, piece)

    def _state(self, room: str) -> Iterator[State | Count]:
        roster = self._rosters.get(room)
        part = roster.parts.get(HERE) if roster is not None else None
        if roster is None or part is None:
            yield State(self._worker, self._version, True, True, NOBODY)
            return
        if not part.version:
            self._next_version(part)
        if roster.level == "count":
            yield Count(self._worker, part.version, part.count)
            return
        version = part.version
        some = list(pieces(Entry(who, data) for who, data in part.members.items()))
        for i, piece in enumerate(some):
            yield State(self._worker, version, i == 0, i == len(some) - 1, piece)

    def _next_version(self, part: Part) -> None:
        self._version += 1
        part.version = self._version
        part.changed = self._beats

    def _ask(self, roster: Roster, workers: set[str]) -> None:
        """Asks for what others have in a room, once it is known who they are."""
        if self._beats < 2:
            return
        roster.asked = self._beats
        roster.wait_for(workers)
        if workers:
            whom = next(iter(workers)) if len(workers) == 1 else ""
            self._asks.setdefault(whom, set()).add(roster.room)
            self._work.set()

    # What is heard.

    def on_gap(self, channel: str) -> None:
        """Learns that something did not come."""
        # The engine may have been away: what could not be told meanwhile can be told now.
        self._work.set()
        roster = self._rosters.get(channel.removeprefix(PREFIX))
        if roster is not None:
            self._ask(roster, self._peers.present())

    def on_message(self, channel: str, payload: bytes) -> None:
        """Takes what a worker has said; whatever it is, it raises nothing."""
        try:
            if channel == EVERYWHERE:
                self._on_word(decode_for_all(payload))
            elif (roster := self._rosters.get(channel.removeprefix(PREFIX))) is not None:
                self._on_news(roster, decode_for_room(payload))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self._counters.foreign += 1

    def _on_word(self, message: Alive | Ask | Bye) -> None:
        if message.worker == self._worker:
            # A greeting that comes back is no beat.
            if isinstance(message, Alive) and message.age > self._heard:
                self._heard = message.age
                self._beat()
            return
        peer = self._peers.hear(message.worker)
        if peer is None:
            return
        match message:
            case Alive():
                self._meet(message, peer)
                self._compare(message)
            case Ask():
                if message.whom in ("", self._worker):
                    self._states.update(message.rooms)
                    self._work.set()
            case Bye():
                peer.gone = True
                self._drop(message.worker)

    def _meet(self, message: Alive, peer: Peer) -> None:
        if peer.met:
            return
        peer.met = True
        self._greets = True
        self._work.set()
        if message.age > BEATS:
            # It has stood still, or the way to it was cut: what it had to tell was not heard.
            for roster in self._rosters.values():
                self._ask(roster, {message.worker})

    def _compare(self, message: Alive) -> None:
        """Answers what somebody else knows of those here, if that is not so any more."""
        for room, versions in message.known.items():
            roster = self._rosters.get(room)
            part = None if roster is None else roster.parts.get(HERE)
            known = versions.get(self._worker, 0)
            # What has just changed may be on its way.
            if known if part is None else known != part.version and part.changed < self._beats - 1:
                self._states.add(room)
                self._work.set()

    def _on_news(self, roster: Roster, message: Change | State | Count) -> None:
        worker = message.worker
        if worker == self._worker or self._peers.hear(worker) is None:
            return
        match roster.take(message):
            case None:
                # Of a worker that has other ideas of what is told of this room.
                self._counters.foreign += 1
            case False if worker not in roster.awaited:
                self._ask(roster, {worker})

    # Who is there.

    def _beat(self) -> None:
        """Counts on, as this worker has heard itself: so it would have heard the others."""
        self._beats += 1
        for worker in self._peers.beat():
            logger.warning("a worker is not heard of any more; its members are gone")
            self._counters.expired += 1
            self._drop(worker)
        for roster in tuple(self._rosters.values()):
            self._look_after(roster)

    def _look_after(self, roster: Roster) -> None:
        if self._beats == 2:
            # By now everybody has been heard who is there.
            self._ask(roster, self._peers.present())
        elif roster.awaited and self._beats - roster.asked >= BEATS:
            self._ask(roster, set(roster.awaited))
        elif HERE not in roster.parts and self._beats - roster.used > LINGER:
            del self._rosters[roster.room]
            self._broker.unsubscribe(PREFIX + roster.room)

    def _drop(self, worker: str) -> None:
        """Lets nobody be in a worker."""
        for roster in tuple(self._rosters.values()):
            roster.forget(worker)
