"""Those who ask for what they have missed, and the answers.

After a restart many come back at once, to the same rooms, with about the same positions. So a
channel is read once for all who ask for it meanwhile, from the earliest position on, and several
channels are read together; what an engine gives at once is bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import NamedTuple, NoReturn

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.engine import Wanted
from fastws.rooms.brokers.history import Histories, Log, Past, Position
from fastws.rooms.brokers.outgoing import settle

# Channels that are read together, each up to `fastws.rooms.brokers.history.CHUNK_SIZE` at once.
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
    """

    def __init__(self, read: Read, histories: Histories) -> None:
        self._read = read
        self._histories = histories
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
            logs = await self._read(wanted)
            for (channel, asks), log in zip(by_channel.items(), logs, strict=True):
                while asks:
                    self._tell(channel, asks.pop(), log)
        except BrokerUnavailable as error:
            why = str(error)
        finally:
            for asks in by_channel.values():
                _settle(asks, why)

    def _tell(self, channel: str, ask: _Ask, log: Log) -> None:
        if ask.answer.done():
            return
        if log.tells(ask.since):
            ask.answer.set_result(log.since(ask.since))
        else:
            # It was with others who have been away for longer; what comes now is not for them.
            self._asks.setdefault(channel, []).append(ask)

    def _wanted(self, channel: str, asks: list[_Ask]) -> Wanted:
        history = self._histories(channel)
        assert history is not None
        # It is clients who tell where they were: whatever they tell.
        told = [ask.since.number for ask in asks if ask.since is not None]
        numbers = [number for number in told if 0 <= number < 2**63]
        return Wanted(channel, history, min(numbers, default=None))


def _settle(asks: list[_Ask], why: str) -> None:
    for ask in asks:
        settle(ask.answer, why)
