"""A broker whose engine is another process: kept connected, and honest about when it is not.

One task sees to everything. It connects, subscribes, and then gives the engine what is wished and
what is published, in turns: the subscriptions, and once the engine knows them the messages.
So what is published after a join comes to who has joined. Now and then it asks for a sign of life.
Another task receives, and a third one asks for what is kept. When one of them fails, whatever the
reason, all of it is done again, after a pause.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from fastws.errors import BrokerUnavailable
from fastws.limits import Limits
from fastws.rooms.brokers.base import Receiver
from fastws.rooms.brokers.engine import Engine, Wanted
from fastws.rooms.brokers.history import Histories, Log, Past, Position, Receipt, digest
from fastws.rooms.brokers.numbering import Numbered, Progress, Progresses
from fastws.rooms.brokers.outgoing import ITEM_COST, Outgoing, Parcel, settle
from fastws.rooms.brokers.recalls import Recalls
from fastws.rooms.brokers.wishes import Wishes

logger = logging.getLogger("fastws.rooms")

# Seconds between attempts to connect: they double from the first to the last, and each is cut by
# chance, so that not all workers come at once.
FIRST_PAUSE = 0.05
LAST_PAUSE = 2.0
# A connection that has held for so many seconds is no failed attempt.
STEADY = 5.0
# Bytes that are received before others get their turn, such as members who are to send them.
TURN_SIZE = 128 * 1024


class RemoteBroker:
    """Carries bytes between processes by an engine; see `Broker`.

    Args:
        engine: the connection.
        limits: `broker_timeout` and `max_broker_queue` count.
    """

    local = False

    def __init__(self, engine: Engine, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.receiver: Receiver | None = None
        self.histories = Histories()
        self.connected = False
        self._engine = engine
        self._timeout = limits.broker_timeout
        self._outgoing = Outgoing(limits.max_broker_queue)
        self._wishes = Wishes()
        self._progresses = Progresses(self._begin)
        # Those who ask by the connection that there is.
        self._recalls: Recalls | None = None
        # Channels of which something may have been lost.
        self._missed: set[str] = set()
        # Done when the engine knows what was wished before.
        self._settling: list[asyncio.Future[None]] = []
        self._work = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[NoReturn] | None = None
        self._since_turn = 0
        # When the engine is asked for a sign of life, in the loop's time.
        self._ask_at = 0.0
        self._why = "it has not been started (the lifespan of the app does that)"

    # See Broker.

    async def start(self) -> None:
        """See `Broker`; waits for one attempt."""
        if self._task is None:
            # Of this loop: before there may have been another.
            self._work, self._tried = asyncio.Event(), asyncio.Event()
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

    async def settled(self) -> None:
        """See `Broker`."""
        if not self.connected:
            raise BrokerUnavailable(self._complaint())
        known = asyncio.get_running_loop().create_future()
        self._settling.append(known)
        self._work.set()
        await known

    async def publish(self, channel: str, payload: bytes, message_id: str | None = None) -> Receipt:
        """See `Broker`."""
        taken: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        name = None if message_id is None else digest(channel, message_id)
        parcel = Parcel(channel, payload, self.histories(channel), name, taken)
        self._engine.check(parcel)
        if not self.connected:
            raise BrokerUnavailable(self._complaint())
        self._outgoing.put(parcel)
        self._work.set()
        # No time-out here: whatever is before it has one, after which all that wait get an error.
        return await taken

    async def past(self, channel: str, since: Position | None) -> Past:
        """See `Broker`."""
        if not self.connected or self._recalls is None:
            raise BrokerUnavailable(self._complaint())
        return await self._recalls.put(channel, since)

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
                self._tried.set()
                await self._engine.close()
            if loop.time() - began > STEADY:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, LAST_PAUSE)

    async def _connect(self) -> None:
        async with asyncio.timeout(self._timeout):
            await self._engine.connect(self.histories.every())
        self._progresses.clear()
        self._recalls = Recalls(self._recall, self.histories)
        self._wishes.start_over()

    async def _live(self) -> None:
        """Does everything that there is to do while there is a connection."""
        async with asyncio.TaskGroup() as tasks:
            assert self._recalls is not None
            tasks.create_task(self._engine.receive(self._take))
            tasks.create_task(self._recalls.run())
            while self._wishes:
                await self._tell_wishes()
            self._connected()
            try:
                while True:
                    await self._wait_for_work()
                    await self._give(self._outgoing.take())
            finally:
                # Before anybody runs who has got an error.
                self.connected = False

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
        self._why = "the connection has failed"
        self._tried.set()
        # Not before: who asks what was lost, elsewhere, misses nothing from now on.
        missed, self._missed = self._missed, set()
        for channel in missed:
            if channel in self._wishes and self.receiver is not None:
                _go_on(self.receiver.on_gap, channel, None)

    def _disconnected(self, why: str) -> None:
        self._why = why
        self._missed.update(self._wishes)
        self._outgoing.fail(self._complaint())
        for known in self._settling:
            settle(known, self._complaint())
        self._settling.clear()
        if self._recalls is not None:
            self._recalls.fail(self._complaint())

    def _complaint(self) -> str:
        return f"{self._engine.name} is out of reach: {self._why}"

    # Both ways.

    async def _tell_wishes(self) -> None:
        settling, self._settling = self._settling, []
        why_not: str | None = f"{self._engine.name} has not answered"
        try:
            if self._wishes:
                subscribe, unsubscribe = self._wishes.take()
                for channel in unsubscribe:
                    self._progresses.forget(channel)
                async with asyncio.timeout(self._timeout):
                    await self._engine.change(subscribe, unsubscribe)
            why_not = None
        finally:
            for known in settling:
                settle(known, why_not)

    async def _give(self, batch: list[Parcel]) -> None:
        """Tells the engine what is wished, then what was published before or meanwhile."""
        outcomes: Sequence[Receipt | str] = [f"{self._engine.name} has not answered"] * len(batch)
        try:
            await self._tell_wishes()
            if batch:
                async with asyncio.timeout(self._timeout):
                    outcomes = await self._engine.send(batch)
                # There may be more than goes at once.
                self._work.set()
        except BrokerUnavailable as error:
            outcomes = [str(error)] * len(batch)
        finally:
            for parcel, outcome in zip(batch, outcomes, strict=True):
                self._outgoing.settle(parcel, outcome)

    async def _recall(self, wanted: list[Wanted]) -> list[Log]:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._engine.recall(wanted)
        except BrokerUnavailable:
            raise
        except BaseException:
            # As in _live(): before anybody runs who has got an error.
            self.connected = False
            raise

    def _begin(self, channel: str) -> Progress:
        return self._engine.progress(self.histories(channel))

    def _take(self, channel: str, message: Numbered | None) -> bool:
        """Takes what has come; whatever that is, it goes on."""
        if self.receiver is not None and channel in self._wishes:
            _go_on(self._tell, self.receiver, channel, message)
        self._since_turn += ITEM_COST if message is None else len(message.payload) + ITEM_COST
        if self._since_turn < TURN_SIZE:
            return False
        self._since_turn = 0
        return True

    def _tell(self, receiver: Receiver, channel: str, message: Numbered | None) -> None:
        if message is None:
            receiver.on_foreign(channel)
            return
        progress = self._progresses.of(channel)
        lost = progress.advance(message)
        if lost != 0:
            receiver.on_gap(channel, lost)
        receiver.on_message(channel, message.payload, progress.position)


def _go_on(tell: Callable[..., None], *args: Any) -> None:
    """Tells a receiver; its faults are its own."""
    try:
        tell(*args)
    except Exception:
        logger.exception("what a broker has told could not be dealt with")


def _explain(error: BaseException) -> str:
    """Says in a line what went wrong, for logs and exceptions."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, asyncio.CancelledError):
        return "it was stopped, or the connection has ended"
    return ascii(str(error) or type(error).__name__)[1:-1]
