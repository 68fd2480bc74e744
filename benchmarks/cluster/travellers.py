"""Clients that come back to where they were, and say once more what was not acknowledged."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

import fastws
from benchmarks.cluster.chat import Ask, Enter, Say
from benchmarks.cluster.clients import Link
from fastws import Disconnected, HandshakeError, RoomPosition

# Seconds until somebody who was refused, or not told when to come back, tries again: up to these.
PAUSE = 0.3
OPEN_TIMEOUT = 10.0

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


@dataclass
class Story:
    """What one client has seen.

    Attributes:
        room: where it was.
        heard: the epoch, the number and the id of each message, as they came.
        taken: ids of its own messages that were acknowledged.
        again: how many of them had been published before, unknown to it.
        wrong: what was not as it has to be.
        events: how often it was closed, refused, and told of a gap, by what it was told.
        absences: seconds from the end of a connection to being in the room again.
    """

    room: str
    heard: list[tuple[str, int, str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    again: int = 0
    wrong: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    absences: list[float] = field(default_factory=list)


class Traveller:
    """One client.

    Attributes:
        story: what it has seen.
        waiting: what it has said, and nobody has acknowledged yet; by the id, in order.
        there: set while it is in the room.
        calm: set while nothing that it has said waits to be acknowledged.
        quiet: whether it is to say nothing more.
    """

    def __init__(self, number: int, url: str, room: str) -> None:
        self.story = Story(room)
        self.waiting: dict[str, bytes] = {}
        self.there = asyncio.Event()
        self.calm = asyncio.Event()
        self.calm.set()
        self.quiet = False
        self._answered = asyncio.Event()
        self._number = number
        self._url = url
        self._position = RoomPosition(room)
        self._ws: fastws.ClientConnection | None = None
        self._gone_since: float | None = None
        self._count = 0

    async def live(self) -> None:
        """Connects, again and again, until it is cancelled."""
        while True:
            pause = random.uniform(0, PAUSE)
            try:
                ws = await fastws.connect(self._url, compression=False, open_timeout=OPEN_TIMEOUT)
                await self._stay(ws)
            except HandshakeError as error:
                self.story.events[f"refused with {error.status}"] += 1
            except Disconnected as error:
                self.story.events[f"closed with {error.code}"] += 1
                pause = error.retry_after or pause
            except OSError as error:
                self.story.events[type(error).__name__] += 1
            self.there.clear()
            self._ws = None
            self._gone_since = self._gone_since or time.monotonic()
            await asyncio.sleep(pause)

    async def _stay(self, ws: fastws.ClientConnection) -> None:
        await ws.send(encode(Enter(self._position)).decode())
        said: set[str] = set()
        while rest := [name for name in self.waiting if name not in said]:
            for name in rest:
                await ws.send(self.waiting[name].decode())
                said.add(name)
        self._ws = ws
        while True:
            await self._take(ws, decode(await ws.recv()))

    async def _take(self, ws: fastws.ClientConnection, message: Any) -> None:
        match message["type"]:
            case "Said":
                self._hear(message["id"], msgspec.convert(message["position"], RoomPosition))
            case "Taken":
                if self.waiting.pop(message["id"], None) is not None:
                    self.story.taken.append(message["id"])
                    self.story.again += message["again"]
                if not self.waiting:
                    self.calm.set()
            case "Resumed":
                self._resume(
                    msgspec.convert(message["position"], RoomPosition), message["recovered"]
                )
            case "Gap":
                self.story.events["Gap"] += 1
                if message["room"]:
                    await ws.send(encode(Enter(self._position)).decode())
            case "Answer":
                self._answered.set()
            case _:
                self.story.wrong.append(f"an unknown message: {message}")

    def _hear(self, name: str, position: RoomPosition) -> None:
        last = self._position
        if position.epoch == last.epoch and position.number <= last.number:
            self.story.wrong.append(f"{name} at {position} comes after {last}")
        self._position = position
        self.story.heard.append((position.epoch, position.number, name))

    def _resume(self, position: RoomPosition, recovered: bool) -> None:
        if self._position.epoch and not recovered:
            self.story.wrong.append(f"{self._position} could not be recovered: {position}")
        if recovered and position != self._position:
            self.story.wrong.append(f"{self._position} was recovered as {position}")
        self._position = position
        if self._gone_since is not None:
            self.story.absences.append(time.monotonic() - self._gone_since)
            self._gone_since = None
        self.there.set()

    async def speak(self, pause: float) -> None:
        """Says something now and then, whether or not it is connected, until it is to be quiet."""
        while not self.quiet:
            await asyncio.sleep(random.uniform(0, 2 * pause))
            self._count += 1
            name = f"{self._number}-{self._count}"
            self.waiting[name] = encode(Say(self.story.room, name))
            self.calm.clear()
            await self._send(self.waiting[name])

    async def ask(self) -> None:
        """Waits until all that was published has come to it."""
        self._answered.clear()
        await self._send(encode(Ask()))
        await self._answered.wait()

    async def _send(self, data: bytes) -> None:
        if self._ws is not None:
            with suppress(Disconnected):  # it will be said once more
                await self._ws.send(data.decode())


async def travel(link: Link, seats: Sequence[tuple[int, str, str]], pause: float) -> None:
    """Lets some clients live through restarts; gives their stories.

    Args:
        link: to who has started this.
        seats: the number, the URL and the room of each.
        pause: seconds between two messages of one client, on average.
    """
    everybody = [Traveller(*seat) for seat in seats]
    living = [asyncio.create_task(one.live()) for one in everybody]
    for one in everybody:
        await one.there.wait()
    link.say("there")
    await link.hear()
    speaking = [asyncio.create_task(one.speak(pause)) for one in everybody]
    await link.hear()
    for one in everybody:
        one.quiet = True
    await asyncio.gather(*speaking)
    for one in everybody:
        await one.calm.wait()
    link.say("all is taken")
    await link.hear()
    await asyncio.gather(*(one.ask() for one in everybody))
    for task in living:
        task.cancel()
    link.say([one.story for one in everybody])
