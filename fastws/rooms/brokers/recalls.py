"""Those who ask for what they have missed, and the answers.

After a restart many come back at once, to the same rooms, with about the same positions. So a
channel is read once for all who ask for it meanwhile, from the earliest position on, and several
channels are read together; what an engine gives at once is bounded.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import NamedTuple, NoReturn

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.engine import Wanted
from fastws.rooms.brokers.history import Histories, Kept, Log, Past, Position
from fastws.rooms.brokers.outgoing import ITEM_COST, settle

logger = logging.getLogger("fastws.rooms")

# Channels that are read together, each up to `fastws.rooms.brokers.engine.CHUNK_SIZE` at once.
TOGETHER = 16

Read = Callable[[list[Wanted]], Awaitable[list[Log]]]


class _Ask(NamedTuple):
    since: Position | None
    answer: asyncio.Future[Past]


class Recalls:
    """Asks an engine for what is kept, for as long as there is a connection.

    Args:
        read: asks the engine; it is bounded in time.
        histories: what is kept of which channels.
        max_size: bytes that are read of one channel, `ITEM_COST` for each message included.
    """

    def __init__(self, read: Read, histories: Histories, max_size: int) -> None:
        self._read = read
        self._histories = histories
        self._max_size = max_size
        self._asks: dict[str, list[_Ask]] = {}
        self._work = asyncio.Event()

    def put(self, channel: str, since: Position | None) -> asyncio.Future[Past]:
        """Adds someone who asks; gives what the answer comes to.

        Raises:
            RuntimeError: the channel has no history.
        """
        if self._histories(channel) is None:
            raise RuntimeError(f"the channel {channel!a} has no history")
        ask = _Ask(since, asyncio.get_running_loop().create_future())
        self._asks.setdefault(channel, []).append(ask)
        self._work.set()
        return ask.answer

    async def run(self) -> NoReturn:
        """Answers."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._asks:
                names = list(islice(self._asks, TOGETHER))
                await self._answer({name: self._asks.pop(name) for name in names})

    def fail(self, why: str) -> None:
        """Gives up all who wait."""
        for asks in self._asks.values():
            _settle(asks, why)
        self._asks.clear()

    async def _answer(self, by_channel: dict[str, list[_Ask]]) -> None:
        why = "the engine has not answered"
        try:
            wanted = [self._wanted(channel, asks) for channel, asks in by_channel.items()]
            for one, log in zip(wanted, await self._read(wanted), strict=True):
                whole = await self._whole(one, log, by_channel[one.channel])
                for ask in by_channel[one.channel]:
                    if not ask.answer.done():
                        ask.answer.set_result(whole.since(ask.since))
        except BrokerUnavailable as error:
            why = str(error)
        finally:
            for asks in by_channel.values():
                _settle(asks, why)

    def _wanted(self, channel: str, asks: list[_Ask]) -> Wanted:
        history = self._histories(channel)
        assert history is not None
        # It is clients who tell where they were: whatever they tell.
        told = [ask.since.number for ask in asks if ask.since is not None]
        numbers = [number for number in told if 0 <= number < 2**63]
        return Wanted(channel, history, min(numbers, default=None))

    async def _whole(self, wanted: Wanted, log: Log, asks: list[_Ask]) -> Log:
        """Reads on until all is there that was when it began, for those whom it can help."""
        (epoch, newest), after, some = log
        messages, size = deque(some), _size(some)
        told = (ask.since for ask in asks if ask.since is not None and ask.since.epoch == epoch)
        starts = deque(sorted({each.number for each in told if after <= each.number <= newest}))
        while starts:
            if size > self._max_size:
                # It is too much for who has been away for longest, but not for the others.
                logger.warning("more than %d bytes were missed in a room", self._max_size)
                while starts and size > self._max_size:
                    starts.popleft()
                    after = starts[0] if starts else newest
                    while messages and messages[0].number <= after:
                        size -= _size([messages.popleft()])
                continue
            last = messages[-1].number if messages else after
            if last >= newest or not (messages or some):
                # Some may have been published since, and have come with the rest.
                return Log(Position(epoch, max(newest, last)), after, list(messages))
            (more,) = await self._read([wanted._replace(after=last)])
            same = more.position.epoch == epoch
            if not (same and more.complete_after <= last and more.messages):
                return _nothing(more.position)
            messages += more.messages
            size += _size(more.messages)
        return _nothing(log.position)


def _nothing(position: Position) -> Log:
    """Gives what is known if nothing can be told for sure: where the end is."""
    return Log(position, position.number, [])


def _size(messages: list[Kept]) -> int:
    return sum(len(kept.payload) + ITEM_COST for kept in messages)


def _settle(asks: list[_Ask], why: str) -> None:
    for ask in asks:
        settle(ask.answer, why)
