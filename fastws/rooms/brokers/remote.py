"""A broker whose engine is another process: kept connected, and honest about when it is not.

One task sees to everything. It connects, subscribes, and then gives the engine what is wished and
what is published, in turns: first the subscriptions, and once the engine knows them the messages.
So what is published after a join comes to who has joined. Now and then it asks for a sign of life.
Another task receives. When one of them fails, whatever the reason, all of it is done again, after a
pause.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from fastws.errors import BrokerUnavailable
from fastws.limits import Limits
from fastws.rooms.brokers import numbering
from fastws.rooms.brokers.base import Receiver
from fastws.rooms.brokers.numbering import Position, Positions
from fastws.rooms.brokers.outgoing import Outgoing, Parcel
from fastws.rooms.brokers.wishes import Wishes

logger = logging.getLogger("fastws.rooms")

# Seconds between attempts to connect: they double from the first to the last, and each is cut by
# chance, so that not all workers come at once.
FIRST_PAUSE = 0.05
LAST_PAUSE = 2.0
# A connection that has held for so many seconds is no failed attempt.
STEADY = 5.0


class Engine(Protocol):
    """One connection to an engine, which can be made again and again.

    What fails raises, whatever it is; then `close` is called. All of it is cancelled at any time.

    Attributes:
        name: where it is, for logs; without passwords.
    """

    name: str

    def position(self) -> Position:
        """Gives a position at the start of a channel."""

    async def connect(self) -> None:
        """Connects."""

    async def receive(self, take: Callable[[str, bytes], None]) -> NoReturn:
        """Gives what comes, for as long as there is a connection."""

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """Changes the subscriptions; returns when the engine knows."""

    async def send(self, batch: list[Parcel]) -> None:
        """Publishes messages in their order; returns when the engine has them.

        Raises:
            BrokerUnavailable: the engine refuses; the connection is as good as before.
        """

    async def ask(self) -> None:
        """Returns when the engine has answered."""

    async def close(self) -> None:
        """Ends the connection, if there is one; neither raises nor waits for the engine."""

    def check_size(self, payload: bytes) -> None:
        """Raises a ProtocolError for a message that is larger than the engine takes."""


class RemoteBroker:
    """Carries bytes between processes by an engine; see `Broker`.

    Args:
        engine: the connection.
        limits: `broker_timeout` and `max_broker_queue` count.
    """

    def __init__(self, engine: Engine, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.receiver: Receiver | None = None
        self.connected = False
        self._engine = engine
        self._timeout = limits.broker_timeout
        self._outgoing = Outgoing(limits.max_broker_queue)
        self._wishes = Wishes()
        self._positions = Positions(engine.position)
        # Channels of which something may have been lost.
        self._missed: set[str] = set()
        self._work = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[NoReturn] | None = None
        # When the engine is asked for a sign of life, in the loop's time.
        self._ask_at = 0.0
        self._why = "it has not been started"

    # See Broker.

    async def start(self) -> None:
        """See `Broker`; waits for one attempt."""
        if self._task is None:
            self._tried.clear()
            self._task = asyncio.create_task(self._run())
            await self._tried.wait()

    async def stop(self) -> None:
        """See `Broker`; what no engine has taken yet raises where it was published."""
        task, self._task = self._task, None
        if task is not None:
            while not task.done():
                # On CPython 3.11 wait_for(), which nats-py uses, may swallow a cancellation.
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
            self._disconnected("it was stopped")

    def subscribe(self, channel: str) -> None:
        """See `Broker`."""
        self._wishes.add(channel)
        if not self.connected and self._task is not None:
            self._missed.add(channel)
        self._work.set()

    def unsubscribe(self, channel: str) -> None:
        """See `Broker`."""
        self._wishes.discard(channel)
        self._missed.discard(channel)
        self._work.set()

    async def publish(self, channel: str, payload: bytes) -> None:
        """See `Broker`."""
        self._engine.check_size(payload)
        if not self.connected:
            raise BrokerUnavailable(self._complaint())
        taken = self._outgoing.put(channel, payload)
        self._work.set()
        # No time-out here: whatever is before it has one, after which all that wait get an error.
        await taken

    # The connection.

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                await self._connect()
                await self._live()
            except Exception as error:
                why = _explain(error)
                if why != self._why:
                    logger.warning("the broker is not connected to %s: %s", self._engine.name, why)
                self._disconnected(why)
            finally:
                self.connected = False
                self._tried.set()
                await self._engine.close()
            if loop.time() - began > STEADY:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, LAST_PAUSE)

    async def _connect(self) -> None:
        async with asyncio.timeout(self._timeout):
            await self._engine.connect()
        self._positions.clear()
        self._wishes.start_over()

    async def _live(self) -> None:
        """Does everything that there is to do while there is a connection."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._engine.receive(self._take))
            while self._wishes:
                await self._tell_wishes()
            self._connected()
            while True:
                await self._wait_for_work()
                await self._tell_wishes()
                while batch := self._outgoing.take():
                    await self._send(batch)

    async def _wait_for_work(self) -> None:
        """Waits for something to do; asks for a sign of life if it is time to."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._ask_at:
            async with asyncio.timeout(self._timeout):
                await self._engine.ask()
            self._ask_at = loop.time() + self._timeout / 2
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._ask_at):
                await self._work.wait()
        self._work.clear()

    def _connected(self) -> None:
        logger.info("the broker is connected to %s", self._engine.name)
        self.connected = True
        self._why = ""
        self._tried.set()
        # Not before: who asks what was lost, elsewhere, misses nothing from now on.
        missed, self._missed = self._missed, set()
        for channel in missed:
            if channel in self._wishes and self.receiver is not None:
                self.receiver.on_gap(channel, None)

    def _disconnected(self, why: str) -> None:
        self.connected = False
        self._why = why
        self._missed.update(self._wishes)
        self._outgoing.fail(self._complaint())

    def _complaint(self) -> str:
        return f"{self._engine.name} is out of reach: {self._why}"

    # Both ways.

    async def _tell_wishes(self) -> None:
        if not self._wishes:
            return
        subscribe, unsubscribe = self._wishes.take()
        for channel in unsubscribe:
            self._positions.forget(channel)
        async with asyncio.timeout(self._timeout):
            await self._engine.change(subscribe, unsubscribe)

    async def _send(self, batch: list[Parcel]) -> None:
        why_not: str | None = f"{self._engine.name} has not answered"
        try:
            # Those from before the messages, not those that go on coming.
            await self._tell_wishes()
            async with asyncio.timeout(self._timeout):
                await self._engine.send(batch)
            why_not = None
        except BrokerUnavailable as error:
            why_not = str(error)
        finally:
            for parcel in batch:
                self._outgoing.settle(parcel, why_not)

    def _take(self, channel: str, data: bytes) -> None:
        """Takes what has come; whatever that is, it goes on."""
        if self.receiver is None or channel not in self._wishes:
            return
        try:
            message = numbering.read(data)
            if message is None:
                self.receiver.on_foreign(channel)
                return
            lost = self._positions.advance(channel, message)
            if lost != 0:
                self.receiver.on_gap(channel, lost)
            self.receiver.on_message(channel, message.payload)
        except Exception:
            logger.exception("a message to %a failed", channel)


def _explain(error: BaseException) -> str:
    """Says in a line what went wrong, for logs and exceptions."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, asyncio.CancelledError):
        return "it was stopped, or the connection has ended"
    return ascii(str(error) or type(error).__name__)[1:-1]
