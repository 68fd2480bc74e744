"""Questions about the past: read together, each answered with its own part, never left open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.engine import Wanted
from fastws.rooms.brokers.history import Histories, History, Log, Past, Position
from fastws.rooms.brokers.recalls import TOGETHER, Recalls
from fastws.testing.waiting import patience
from tests.rooms.brokers.fake import log
from tests.rooms.serving import turns

HISTORY = History(10, 60.0)


class Reader:
    """What `Recalls` reads from.

    Attributes:
        reads: what was wanted, of each read.
        answer: makes the logs.
        open: cleared, a read waits.
    """

    def __init__(self, answer: Callable[[Wanted], Log]) -> None:
        self.reads: list[list[Wanted]] = []
        self.answer = answer
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, wanted: list[Wanted]) -> list[Log]:
        self.reads.append(wanted)
        await self.open.wait()
        return [self.answer(one) for one in wanted]

    @property
    def asked(self) -> list[list[tuple[str, int | None]]]:
        """Channels and positions of each read."""
        return [[(one.channel, one.after) for one in wanted] for wanted in self.reads]


@asynccontextmanager
async def running(
    answer: Callable[[Wanted], Log] = lambda wanted: log(1, 2, 3, 4),
) -> AsyncIterator[tuple[Recalls, Reader, asyncio.Task[None]]]:
    reader = Reader(answer)
    recalls = Recalls(reader, Histories({"": HISTORY}))
    task: asyncio.Task[None] = asyncio.create_task(recalls.run())
    try:
        async with patience(5, lambda: "a question was not answered"):
            yield recalls, reader, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def since(number: int, epoch: str = "e") -> Position:
    return Position(epoch, number)


def numbers(past: Past) -> list[int]:
    assert past.recovered
    return [kept.number for kept in past.messages]


async def test_a_channel_without_a_history_has_no_past() -> None:
    recalls = Recalls(Reader(lambda wanted: log(1)), Histories({"kept/": HISTORY}))
    with pytest.raises(RuntimeError, match=r"'\\xe9' has no history"):
        recalls.put("é", None)
    recalls.put("kept/", None)


async def test_a_channel_is_read_once_from_the_earliest_position() -> None:
    async with running() as (recalls, reader, _):
        asks = [recalls.put("a", since(number)) for number in (3, 1, 4, 2)]
        newest = recalls.put("a", None)
        assert [numbers(past) for past in await asyncio.gather(*asks)] == [
            [4],
            [2, 3, 4],
            [],
            [3, 4],
        ]
        assert await newest == Past(False, since(4), [])
        assert reader.reads == [[Wanted("a", HISTORY, 1)]]


@pytest.mark.parametrize(
    ("positions", "after"),
    [
        ([None], None),
        ([None, since(3)], 3),
        ([since(0), since(3)], 0),
        ([since(-1), since(2**63)], None),
        ([since(-1), since(2**63 - 1)], 2**63 - 1),
        # The engine tells whether an epoch is its own.
        ([since(1, "other"), since(3)], 1),
    ],
)
async def test_a_client_cannot_make_an_engine_read_from_nowhere(
    positions: list[Position | None], after: int | None
) -> None:
    async with running() as (recalls, reader, _):
        await asyncio.gather(*(recalls.put("a", position) for position in positions))
        assert reader.asked == [[("a", after)]]


async def test_several_channels_are_read_together() -> None:
    names = [str(i) for i in range(2 * TOGETHER + 1)]
    async with running() as (recalls, reader, _):
        await asyncio.gather(*(recalls.put(name, since(1)) for name in names))
        assert [[name for name, _ in read] for read in reader.asked] == [
            names[:TOGETHER],
            names[TOGETHER : 2 * TOGETHER],
            names[2 * TOGETHER :],
        ]


async def test_each_channel_gets_its_own_log() -> None:
    def answer(wanted: Wanted) -> Log:
        return log(1, 2) if wanted.channel == "a" else log(1, 2, 3)

    async with running(answer) as (recalls, _, _):
        one, other = await asyncio.gather(recalls.put("a", since(1)), recalls.put("b", since(1)))
        assert (numbers(one), numbers(other)) == ([2], [2, 3])


async def test_a_question_during_a_read_waits_for_the_next() -> None:
    async with running() as (recalls, reader, _):
        reader.open.clear()
        first = recalls.put("a", since(3))
        await turns(2)
        second = recalls.put("a", since(1))
        reader.open.set()
        assert (numbers(await first), numbers(await second)) == ([4], [2, 3, 4])
        assert reader.asked == [[("a", 3)], [("a", 1)]]
        # A read without a question does not happen.
        await turns(3)
        assert len(reader.reads) == 2


async def test_a_log_that_ends_too_early_is_read_again_from_later() -> None:
    """An engine bounds what it returns at once; the newest number is 9."""

    def answer(wanted: Wanted) -> Log:
        first = (wanted.after or 0) + 1
        return log(*range(first, min(first + 3, 10)), newest=9)

    async with running(answer) as (recalls, reader, _):
        asks = [recalls.put("a", since(number)) for number in (0, 2, 3, 8, 9)]
        pasts = await asyncio.gather(*asks)
        assert [numbers(past) for past in pasts] == [[1, 2, 3], [3], [4, 5, 6], [9], []]
        assert [past.position for past in pasts] == [since(9)] * 5
        assert reader.asked == [[("a", 0)], [("a", 3)], [("a", 8)]]


async def test_a_refusal_fails_its_own_read_only() -> None:
    def answer(wanted: Wanted) -> Log:
        if wanted.channel == "bad":
            raise BrokerUnavailable("refused")
        return log(1, 2)

    async with running(answer) as (recalls, _, task):
        bad, together = recalls.put("bad", None), recalls.put("a", None)
        for ask in (bad, together):
            with pytest.raises(BrokerUnavailable, match=r"^refused$"):
                await ask
        assert numbers(await recalls.put("a", since(1))) == [2]
        assert not task.done()


@pytest.mark.parametrize("error", [ConnectionError("cut"), ValueError("not a log")])
async def test_a_connection_that_fails_leaves_no_question_open(error: Exception) -> None:
    def answer(wanted: Wanted) -> Log:
        raise error

    async with running(answer) as (recalls, _, task):
        asks = [recalls.put(channel, None) for channel in "aab"]
        await asyncio.wait({task})
        assert task.exception() is error
        for ask in asks:
            with pytest.raises(BrokerUnavailable, match="has not answered"):
                await ask


async def test_too_few_logs_leave_no_question_open() -> None:
    async def read(wanted: list[Wanted]) -> list[Log]:
        return [log(1)]

    recalls = Recalls(read, Histories({"": HISTORY}))
    asks = [recalls.put(channel, None) for channel in "ab"]
    with pytest.raises(ValueError, match="shorter"):
        await recalls.run()
    assert (await asks[0]).position == since(1)
    with pytest.raises(BrokerUnavailable, match="has not answered"):
        await asks[1]


async def test_an_end_during_a_read_leaves_no_question_open() -> None:
    async with running() as (recalls, reader, task):
        reader.open.clear()
        read = recalls.put("a", None)
        await turns(2)
        waiting = [recalls.put(channel, None) for channel in "ab"]
        task.cancel()
        with pytest.raises(BrokerUnavailable, match="has not answered"):
            await read
        recalls.fail("cut")
        for ask in waiting:
            with pytest.raises(BrokerUnavailable, match=r"^cut$"):
                await ask
        recalls.fail("once more")


async def test_after_a_failure_nothing_of_before_is_asked() -> None:
    reader = Reader(lambda wanted: log(1))
    recalls = Recalls(reader, Histories({"": HISTORY}))
    failed = recalls.put("a", since(1))
    recalls.fail("cut")
    assert isinstance(failed.exception(), BrokerUnavailable)
    task = asyncio.create_task(recalls.run())
    await recalls.put("b", None)
    assert reader.asked == [[("b", None)]]
    task.cancel()


async def test_a_question_that_was_cancelled_disturbs_no_other() -> None:
    async with running() as (recalls, reader, task):
        reader.open.clear()
        early = recalls.put("a", since(1))
        early.cancel()
        late, other = recalls.put("a", since(2)), recalls.put("a", since(2))
        await turns(2)
        late.cancel()
        reader.open.set()
        assert numbers(await other) == [3, 4]
        assert not task.done()
