"""Workers of one app in the event loop of a test, each with its own broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from fastws.app.messages import JsonCodec
from fastws.errors import BrokerUnavailable
from fastws.limits import Limits
from fastws.rooms import Gap, History, Joined, Left, Level, Member, Rooms, broker_at
from fastws.rooms.presence import present_id
from fastws.testing.waiting import nap
from tests.processes import PATIENCE
from tests.server.serving import until

LEVELS: dict[str, Level] = {"": "events", "list/": "members", "count/": "count"}
# Seconds of a lease where the first answer of a worker has to be right: a fifth of it is how long
# a worker waits for the others to greet it, and a busy machine may take its time.
PATIENT = 10.0
EVENT = msgspec.json.Decoder(Joined | Left | Gap)


class Visitor:
    """A member, and what its client has got.

    Attributes:
        id: what others call it.
    """

    def __init__(self, **options: Any) -> None:
        self.member = Member(self._send, codec=JsonCodec(Any), **options)
        self.id = present_id(self.member.id)
        self.got: list[str] = []

    async def _send(self, event: Any) -> None:
        self.got.append(event.get("text", ""))

    @property
    def events(self) -> list[Joined | Left]:
        """Who has come and gone, as it was told; gaps of messages are something else."""
        told = (EVENT.decode(text) for text in self.got)
        return [event for event in told if not isinstance(event, Gap)]


class Worker:
    """The rooms of one process."""

    def __init__(
        self, url: str, *, history: Mapping[str, History] | None = None, **limits: Any
    ) -> None:
        self.limits = Limits(**{"presence_lease": 0.5, **limits})
        self.broker = broker_at(url, self.limits)
        self.rooms = Rooms(self.broker, history, LEVELS, self.limits)

    def enter(self, room: str = "room", data: Any = None, **options: Any) -> Visitor:
        """Lets somebody be in a room."""
        visitor = Visitor(**options)
        self.rooms.join(visitor.member, room, data)
        return visitor

    async def who(self, room: str = "room") -> set[str]:
        """Gives who is in a room; a broker that is away is waited for."""
        return {each.id for each in await self.answer(self.rooms.presence, room)}

    async def answer(self, ask: Any, room: str) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await ask(room)
                except BrokerUnavailable:
                    await nap()

    async def sees(self, *visitors: Visitor, room: str = "room") -> None:
        """Waits until exactly these are known to be in a room."""
        expected = {each.id for each in visitors}
        async with asyncio.timeout(PATIENCE):
            while await self.who(room) != expected:
                await nap()

    async def counts(self, number: int, room: str) -> None:
        """Waits until so many are known to be in a room."""
        async with asyncio.timeout(PATIENCE):
            while await self.answer(self.rooms.presence_count, room) != number:
                await nap()


@asynccontextmanager
async def workers(url: str, count: int = 2, **options: Any) -> AsyncIterator[list[Worker]]:
    """Starts workers that share an engine; with one broker, there is one worker."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(1 if url == "memory://" else count):
            worker = Worker(url, **options)
            await worker.rooms.start()
            stack.push_async_callback(worker.rooms.stop)
            made.append(worker)
        yield made


async def forgotten(*those: Worker) -> None:
    """Waits until nothing is kept of any room."""
    await until(lambda: all(rosters(each) == {} for each in those))


def rosters(worker: Worker) -> dict[str, Any]:
    kept: dict[str, Any] = worker.rooms._presence._rosters
    return kept
