"""Messages to rooms: to all, to members who do not read, to one who was away, through a broker."""

import asyncio
from collections import deque
from itertools import cycle
from typing import Any, NoReturn

from benchmarks.gate.stage import Server
from benchmarks.gate.work import READS, Run
from benchmarks.peers import fanout_rooms
from fastws import App, Limits, Message, WebSocket
from fastws.app.portable import Receive, Scope, Send
from fastws.rooms import History, Receipt, RoomPosition, Rooms
from fastws.rooms.brokers import RemoteBroker
from fastws.rooms.brokers.engine import Take, Wanted
from fastws.rooms.brokers.history import NO_RECEIPT, Log
from fastws.rooms.brokers.numbering import EngineProgress, Numbered, read, write
from fastws.rooms.brokers.outgoing import Parcel
from fastws.testing.frames import text

MEMBERS = 500
# With slow members: in the room, of these the slow, messages while they do not read, and how many
# of those wait for each of them; the others are dropped.
ROOM, SLOW, BURST, WAITING = 100, 20, 4, 2
MISSED = 50  # by a member that resumes
REMOTE = 50  # members of a room that hears from a broker
SAYS = text('{"type": "Says", "content": "hello there"}')


class Says(Message):
    content: str


class Back(Message):
    position: RoomPosition


def fanout() -> Run:
    """Publish 128 bytes to a room of 500."""
    server = Server(fanout_rooms.app)
    clients = server.connected(MEMBERS + 1)
    return server.turns(lambda: clients[0].read(text("x" * 128)))


def room_app(**options: Any) -> App:
    """Return an App with one room, where members publish, and to which they come back."""
    app = App(**options)

    @app.websocket("/ws", messages=Says | Back)
    async def talk(ws: WebSocket[Says | Back]) -> None:
        await ws.accept()
        ws.join("room")
        async for message in ws:
            match message:
                case Says():
                    await ws.publish("room", message)
                case Back(position):
                    await ws.resume(position)

    return app


def slow() -> Run:
    """Publish to a room where some do not read for a while, and then read again."""
    limits = Limits(max_outbox_messages=WAITING)
    app = room_app(policy="drop-oldest", limits=limits)
    server = Server(app)
    speaker, *members = server.connected(ROOM + 1)

    def step() -> None:
        for member in members[:SLOW]:
            member.pause()
        speaker.read(SAYS * BURST)
        for member in members[:SLOW]:
            member.resume()

    server.turns(step)(2)
    if app.rooms.counters.dropped != 2 * SLOW * (BURST - WAITING):
        raise RuntimeError("the slow members have not lost what they should")
    return server.turns(step)


def resume() -> Run:
    """Let members come back to a room, each of whom has missed some messages."""
    app = room_app(history={"": History(count=2 * MISSED, ttl=10**6)})
    server = Server(app)
    members = server.connected(READS)

    async def publish() -> list[Receipt]:
        return [await app.rooms.publish("room", Says("hello there")) for _ in range(MISSED + 1)]

    epoch, number = server.loop.run_until_complete(publish())[0].position or ("", 0)
    position = f'{{"room": "room", "epoch": "{epoch}", "number": {number}}}'
    back = text(f'{{"type": "Back", "position": {position}}}')

    def step() -> None:
        for member in members:
            member.read(back)

    server.turns(step)(2)
    if app.rooms.counters.recovered != 2 * READS:
        raise RuntimeError("not all members have been given what they had missed")
    return server.turns(step)


class Loopback:
    """An engine in this process: it numbers what is published, and brings it."""

    name = "loopback"

    def __init__(self) -> None:
        self._number = 0
        self._coming: deque[tuple[str, bytes]] = deque()
        self._came = asyncio.Event()

    def progress(self, history: History | None) -> EngineProgress:
        """See `Engine`."""
        return EngineProgress(kept=history is not None)

    def check(self, parcel: Parcel) -> None:
        """See `Engine`; it takes all."""

    async def connect(self, histories: list[History]) -> None:
        """See `Engine`."""

    async def receive(self, take: Take) -> NoReturn:
        """See `Engine`; reads as the engines of Redis and NATS do."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._coming:
                channel, data = self._coming.popleft()
                take(channel, read(data))

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """See `Engine`."""

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        """See `Engine`."""
        for parcel in batch:
            self._number += 1
            data = write(Numbered(b"0123456789abcdef", self._number, parcel.payload))
            self._coming.append((parcel.channel, data))
        self._came.set()
        return [NO_RECEIPT] * len(batch)

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        """See `Engine`; nothing is kept."""
        raise NotImplementedError

    async def ask(self) -> None:
        """See `Engine`."""

    async def close(self) -> None:
        """See `Engine`."""


def broker() -> Run:
    """Publish to a room through a broker; all members are here."""
    rooms = Rooms(RemoteBroker(Loopback()))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with WebSocket[str](scope, receive, send, rooms=rooms) as ws:
            await ws.accept()
            ws.join("room")
            async for message in ws:
                await ws.publish("room", message)

    server = Server(app)
    server.loop.run_until_complete(rooms.start())
    # Each publishes in its turn: it takes some turns of the loop until the engine has a message.
    speakers = cycle(server.connected(REMOTE + 1))
    data = text("x" * 128)
    run = server.turns(lambda: next(speakers).read(data))
    run(REMOTE)
    if not rooms.counters.deliveries >= REMOTE * (REMOTE - 10):
        raise RuntimeError("the broker has not brought what was published")
    return run
