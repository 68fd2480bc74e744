"""One room: who is in it, in which worker."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastws.rooms.presence.events import Joined, Left, Level, Present
from fastws.rooms.presence.messages import NOBODY, Change, Count, State, decode_entries

Tell = Callable[[Joined | Left], None]
# What stands for this worker among the others, whatever it is called.
HERE = ""


class Part:
    """Those who are in one worker.

    Attributes:
        members: their data, by id; nobody where only the number is known.
        count: that number.
        version: that of the worker; 0 for what has not been told to others.
        changed: in which beat of this worker it has become that.
    """

    __slots__ = ("changed", "count", "members", "version")

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.count = 0
        self.version = 0
        self.changed = 0

    def __len__(self) -> int:
        return len(self.members) + self.count


class Roster:
    """Who is in a room, as this worker knows it.

    Args:
        room: the name.
        level: what is known.
        tell: is told of those who come and go: of those here at once; of those elsewhere once it
            is known who was there before.

    Attributes:
        parts: those who are there, by worker.
        pieces: of states that are on their way, the version and what has come, by worker.
        awaited: the workers that were asked, and have not answered yet.
        complete: set while there is nobody to wait for.
        asked: in which beat they were asked.
        used: in which beat somebody here wanted to know, last.
    """

    __slots__ = (
        "_known",
        "_tell",
        "asked",
        "awaited",
        "complete",
        "level",
        "parts",
        "pieces",
        "room",
        "used",
    )

    def __init__(self, room: str, level: Level, tell: Tell | None) -> None:
        self.room = room
        self.level = level
        self.parts: dict[str, Part] = {}
        self.pieces: dict[str, tuple[int, dict[str, Any]]] = {}
        self.awaited: set[str] = set()
        self.complete = asyncio.Event()
        self.asked = 0
        self.used = 0
        self._known = False
        self._tell = tell if level == "events" else None

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def list(self) -> list[Present]:
        """Gives who is there."""
        parts = self.parts.values()
        return [Present(who, data) for part in parts for who, data in part.members.items()]

    def version(self, worker: str) -> int:
        """Gives what is known of a worker; 0 if it has nobody here."""
        part = self.parts.get(worker)
        return 0 if part is None else part.version

    def part(self, worker: str) -> Part:
        """Gives those in a worker, to be changed."""
        part = self.parts.get(worker)
        if part is None:
            part = self.parts[worker] = Part()
        return part

    # Who was asked.

    def wait_for(self, workers: set[str]) -> None:
        """Remembers who was asked."""
        self.awaited |= workers
        if self.awaited:
            self.complete.clear()
        else:
            self._settle()

    def answered(self, worker: str) -> None:
        """Waits for a worker no more."""
        if worker in self.awaited:
            self.awaited.discard(worker)
            if not self.awaited:
                self._settle()

    def _settle(self) -> None:
        self._known = True
        self.complete.set()

    # Who comes and goes.

    def join(self, worker: str, who: str, data: Any) -> None:
        """Adds a member; nothing happens if it is there."""
        members = self.part(worker).members
        if who not in members:
            members[who] = data
            if self._tell is not None and (self._known or worker == HERE):
                self._tell(Joined(self.room, who, data))

    def leave(self, worker: str, who: str) -> None:
        """Removes a member; nothing happens if it is not there."""
        members = self.part(worker).members
        if who in members:
            del members[who]
            if self._tell is not None and (self._known or worker == HERE):
                self._tell(Left(self.room, who))

    def replace(self, worker: str, members: dict[str, Any]) -> None:
        """Lets exactly these be in a worker."""
        before = self.part(worker).members
        for who, data in tuple(before.items()):
            if who not in members or members[who] != data:
                self.leave(worker, who)
        for who, data in members.items():
            self.join(worker, who, data)

    def forget(self, worker: str) -> None:
        """Lets nobody be in a worker, and waits for it no more."""
        if worker in self.parts:
            self.replace(worker, {})
            del self.parts[worker]
        self.pieces.pop(worker, None)
        self.answered(worker)

    # What other workers say.

    def take(self, message: Change | State | Count) -> bool | None:
        """Takes what a worker has said of its members.

        Returns:
            False if something did not come that was said before; None if that is not what is said
            of this room.
        """
        counts = self.level == "count"
        match message:
            case Change() if not counts:
                return self._take_change(message)
            case State() if not counts or bytes(message.entries) == bytes(NOBODY):
                self._take_state(message)
                return True
            case Count() if counts:
                self._take_count(message)
                return True
        return None

    def _take_change(self, message: Change) -> bool:
        worker, known = message.worker, self.version(message.worker)
        if message.version <= known:
            return True
        if message.before not in (0, known):
            return False
        entries = decode_entries(message.entries)
        if message.before == 0:
            self.replace(worker, {})
        for entry in entries:
            if entry.left:
                self.leave(worker, entry.id)
            else:
                self.join(worker, entry.id, entry.data)
        self.part(worker).version = message.version
        if message.before == 0:
            self.answered(worker)
        return True

    def _take_state(self, message: State) -> None:
        worker, known = message.worker, self.version(message.worker)
        if message.version < known:
            return
        if known and message.version == known:
            self.answered(worker)
            return
        if message.first:
            self.pieces[worker] = (message.version, {})
        version, members = self.pieces.get(worker, (-1, {}))
        if version != message.version:
            return  # a piece before it did not come; all is asked for again
        members |= {each.id: each.data for each in decode_entries(message.entries) if not each.left}
        if not message.last:
            return
        del self.pieces[worker]
        if members:
            self.replace(worker, members)
            self.part(worker).version = version
            self.answered(worker)
        else:
            self.forget(worker)

    def _take_count(self, message: Count) -> None:
        if message.version < self.version(message.worker):
            return
        part = self.part(message.worker)
        part.count, part.version = message.count, message.version
        self.answered(message.worker)
