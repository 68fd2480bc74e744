"""An engine in the memory of a test: the test holds, refuses and cuts what it likes."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from fastws.limits import Limits
from fastws.rooms.brokers.engine import Take, Wanted
from fastws.rooms.brokers.history import (
    NO_RECEIPT,
    Histories,
    History,
    Kept,
    Log,
    Position,
    Receipt,
)
from fastws.rooms.brokers.numbering import EngineProgress, Numbered
from fastws.rooms.brokers.outgoing import Parcel
from fastws.rooms.brokers.remote import RemoteBroker
from fastws.testing.waiting import patience
from tests.rooms.brokers.told import Told

EPOCH = b"epoch"


class FakeEngine:
    """An `Engine` that numbers messages and returns them to its own subscriptions.

    Attributes:
        calls: names and arguments of all calls, in their order.
        channels: subscriptions of the connection; None without a connection.
        logs: the log of each channel, for `recall`.
        answer: makes what `send` returns for a message; by default `NO_RECEIPT`.
    """

    name = "fake://engine"

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.channels: set[str] | None = None
        self.logs: dict[str, Log] = {}
        self.answer: Callable[[Parcel], Receipt | str] = lambda parcel: NO_RECEIPT
        self._numbers: dict[str, int] = defaultdict(int)
        self._errors: dict[str, deque[Exception]] = defaultdict(deque)
        self._held: dict[str, asyncio.Event] = {}
        self._take: Take | None = None
        self._lost: asyncio.Future[None] | None = None

    # What a test does to it.

    def fail(self, name: str, *errors: Exception) -> None:
        """Make the next calls of a method raise these errors, one each."""
        self._errors[name] += errors

    def hold(self, name: str) -> asyncio.Event:
        """Make calls of a method wait until the returned event is set."""
        self._held[name] = asyncio.Event()
        return self._held[name]

    def cut(self, error: Exception | None = None) -> None:
        """End the connection."""
        assert self._lost is not None
        self._lost.set_exception(error or ConnectionError("cut"))

    def bring(self, channel: str, payload: bytes, number: int | None = None) -> bool:
        """Bring a message; without a number, the next one of the channel."""
        self._numbers[channel] = self._numbers[channel] + 1 if number is None else number
        return self.take(channel, Numbered(EPOCH, self._numbers[channel], payload))

    def take(self, channel: str, message: Numbered | None) -> bool:
        """Bring anything; return whether the broker asks for a turn of the loop."""
        assert self._take is not None
        return self._take(channel, message)

    def arguments(self, name: str) -> list[Any]:
        """Return the arguments of all calls of a method."""
        return [argument for called, argument in self.calls if called == name]

    @property
    def sent(self) -> list[list[bytes]]:
        """The payloads of each batch."""
        return [[parcel.payload for parcel in batch] for batch in self.arguments("send")]

    async def _call(self, name: str, argument: Any = None) -> None:
        self.calls.append((name, argument))
        if name in self._held:
            await self._held[name].wait()
        if self._errors[name]:
            raise self._errors[name].popleft()

    # See Engine.

    def progress(self, history: History | None) -> EngineProgress:
        return EngineProgress(kept=history is not None)

    def check(self, parcel: Parcel) -> None:
        if self._errors["check"]:
            raise self._errors["check"].popleft()

    async def connect(self, histories: list[History]) -> None:
        await self._call("connect", histories)
        self.channels = set()
        self._lost = asyncio.get_running_loop().create_future()

    async def receive(self, take: Take) -> NoReturn:
        self._take = take
        assert self._lost is not None
        await self._lost
        raise AssertionError

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        await self._call("change", (sorted(subscribe), sorted(unsubscribe)))
        assert self.channels is not None
        assert self.channels.isdisjoint(subscribe)
        assert self.channels.issuperset(unsubscribe)
        self.channels = self.channels.union(subscribe).difference(unsubscribe)

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        await self._call("send", batch)
        assert self.channels is not None
        for parcel in batch:
            if parcel.channel in self.channels:
                self.bring(parcel.channel, parcel.payload)
        return [self.answer(parcel) for parcel in batch]

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        await self._call("recall", wanted)
        return [self.logs[one.channel] for one in wanted]

    async def ask(self) -> None:
        await self._call("ask")

    async def close(self) -> None:
        self.calls.append(("close", None))
        self.channels = self._take = None


def log(*numbers: int, newest: int | None = None, epoch: str = "e") -> Log:
    """Return a log with messages of these numbers, each with its number as payload."""
    kept = [Kept(number, b"%d" % number) for number in numbers]
    position = Position(epoch, numbers[-1] if newest is None else newest)
    return Log(position, numbers[0] - 1, kept)


def broker_with(
    engine: FakeEngine, *channels: str, history: History | None = None, **limits: Any
) -> tuple[RemoteBroker, Told]:
    """Return a broker that is not started, with subscriptions, and its receiver."""
    broker, told = RemoteBroker(engine, Limits(**limits)), Told()
    broker.receiver = told
    if history is not None:
        broker.histories = Histories({"": history})
    for channel in channels:
        broker.subscribe(channel)
    return broker, told


@asynccontextmanager
async def running(
    engine: FakeEngine, *channels: str, history: History | None = None, **limits: Any
) -> AsyncIterator[tuple[RemoteBroker, Told]]:
    """Run a broker with subscriptions; the engine must let it connect."""
    broker, told = broker_with(engine, *channels, history=history, **limits)
    async with patience(5, lambda: "the broker does not start, answer or stop"):
        await broker.start()
        try:
            yield broker, told
        finally:
            await broker.stop()
