"""What brokers keep: given to who comes back, all of it or nothing."""

import asyncio
import random

import pytest

from fastws.rooms.brokers import Broker, History, Past, Position, Receipt
from fastws.rooms.brokers.history import CHUNK_SIZE
from tests.rooms.brokers.engines import Engine, NatsServer, RedisServer
from tests.rooms.brokers.told import Told, started
from tests.server.serving import until

TEN = History(10, 60.0)


async def published(broker: Broker, channel: str, *payloads: bytes) -> list[Position]:
    """Publishes one message after the other; gives their positions."""
    positions = []
    for payload in payloads:
        receipt = await broker.publish(channel, payload)
        assert receipt.position is not None
        assert not receipt.duplicate
        positions.append(receipt.position)
    return positions


def payloads_of(past: Past) -> list[bytes]:
    assert past.recovered
    return [kept.payload for kept in past.messages]


async def everything(broker: Broker, channel: str, since: Position) -> tuple[list[bytes], Position]:
    """Gives all that came after a position, part by part, and up to where."""
    payloads: list[bytes] = []
    while True:
        past = await broker.past(channel, since)
        payloads += payloads_of(past)
        assert sum(map(len, payloads_of(past)[:-1])) <= CHUNK_SIZE
        if not past.is_part:
            return payloads, past.position
        since = past.position._replace(number=past.messages[-1].number)


def after(told: Told, position: Position) -> list[bytes]:
    """Gives what has come after a position."""
    live = zip(told.messages, told.positions, strict=True)
    return [payload for (_, payload), where in live if where is not None and where > position]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % i for i in range(count)]


async def test_who_comes_back_gets_all_that_came_after(keeper_url: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        positions = await published(broker, "a", *numbered(5))
        await published(broker, "b", b"other")
        for i, since in enumerate(positions):
            past = await broker.past("a", since)
            assert payloads_of(past) == numbered(5)[i + 1 :]
            assert [kept.number for kept in past.messages] == [p.number for p in positions[i + 1 :]]
            assert past.position == positions[-1]


async def test_positions_are_the_same_everywhere(keeper_url: str) -> None:
    async with started(keeper_url, "a", history=TEN) as (broker, told):
        positions = await published(broker, "a", *numbered(3))
        await until(lambda: len(told.messages) == 3)
        assert told.positions == positions
        assert positions == sorted(positions)
        assert len({epoch for epoch, _ in positions}) == 1


async def test_another_process_gives_the_same(keeper: Engine) -> None:
    async with started(keeper.url, history=TEN) as (one, _):
        first, *_ = await published(one, "a", *numbered(3))
    async with started(keeper.url, history=TEN) as (two, _):
        past = await two.past("a", first)
        assert payloads_of(past) == [b"1", b"2"]
        assert (await published(two, "a", b"3"))[0].epoch == first.epoch
        assert payloads_of(await two.past("a", past.position)) == [b"3"]


async def test_who_asks_without_a_position_learns_it(keeper_url: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        *_, last = await published(broker, "a", *numbered(3))
        assert await broker.past("a", None) == Past(recovered=False, position=last, messages=[])


async def test_nothing_of_an_empty_channel_is_missed(keeper_url: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        await published(broker, "b", b"elsewhere")
        begin = (await broker.past("a", None)).position
        for _ in range(2):
            assert payloads_of(await broker.past("a", begin)) == []
        await published(broker, "b", b"elsewhere")
        assert payloads_of(await broker.past("a", begin)) == []
        positions = await published(broker, "a", *numbered(10))
        assert payloads_of(await broker.past("a", begin)) == numbered(10)
        assert positions[0].epoch == begin.epoch


@pytest.mark.parametrize("count", [1, 3])
async def test_so_many_may_be_missed_and_no_more(keeper_url: str, count: int) -> None:
    async with started(keeper_url, history=History(count, 60.0)) as (broker, _):
        positions = await published(broker, "a", *numbered(8))
        assert payloads_of(await broker.past("a", positions[-1 - count])) == numbered(8)[-count:]
        for since in positions[: -1 - count - 1]:
            past = await broker.past("a", since)
            assert past == Past(recovered=False, position=positions[-1], messages=[])


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 2**63, 2**64, 10**30])
async def test_a_position_that_never_was(keeper_url: str, number: int) -> None:
    """Clients tell whatever they like."""
    async with started(keeper_url, history=TEN) as (broker, _):
        first, last = await published(broker, "a", *numbered(2))
        for since in (first._replace(number=number), first._replace(epoch="another"), ("", 0)):
            past = await broker.past("a", Position(*since))
            assert past == Past(recovered=False, position=last, messages=[])
        good, bad = await asyncio.gather(
            broker.past("a", first), broker.past("a", first._replace(number=number))
        )
        assert (payloads_of(good), bad.recovered) == ([b"1"], False)


async def test_a_position_that_is_still_to_come(keeper_url: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        (last,) = await published(broker, "a", b"0")
        past = await broker.past("a", last._replace(number=last.number + 1))
        assert past == Past(recovered=False, position=last, messages=[])


async def test_many_who_come_back_at_once(keeper_url: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        rooms = [str(i) for i in range(50)]
        positions = {room: await published(broker, room, *numbered(10)) for room in rooms}
        asks = [(room, i) for room in rooms for i in range(10)]
        random.Random(1).shuffle(asks)
        pasts = await asyncio.gather(*(broker.past(room, positions[room][i]) for room, i in asks))
        for (_, i), past in zip(asks, pasts, strict=True):
            assert payloads_of(past) == numbered(10)[i + 1 :]


async def test_who_joins_and_asks_while_others_publish_misses_nothing(keeper_url: str) -> None:
    """What was kept until the answer, and what comes after: together all, each once."""
    history = History(10_000, 60.0)
    async with started(keeper_url, history=history) as (broker, told):
        (since,) = await published(broker, "a", b"-1")
        ended = False

        async def publish() -> int:
            count = 0
            while not ended:
                await broker.publish("a", b"%d" % count)
                await asyncio.sleep(0)
                count += 1
            return count

        publishing = asyncio.create_task(publish())
        for _ in range(5):
            await broker.past("a", since)
            broker.subscribe("a")
            await broker.settled()
            kept, position = await everything(broker, "a", since)
            since_then = after(told, position)
            await until(lambda: after(told, position) != since_then)  # noqa: B023
            broker.unsubscribe("a")
            later = after(told, position)
            together = kept + later
            assert together == numbered(len(together))
            await broker.settled()
            told.messages.clear()
            told.positions.clear()
        ended = True
        await publishing


@pytest.mark.parametrize("size", [0, 1, 100_000, 1_048_500])
async def test_any_bytes_are_kept_as_they_are(keeper_url: str, size: int) -> None:
    choose = random.Random(size)
    messages = [choose.randbytes(size) for _ in range(5)]
    async with started(keeper_url, history=TEN) as (broker, _):
        begin = (await broker.past("a", None)).position
        for i, message in enumerate(messages):
            await broker.publish("a", message, str(i))
        assert (await everything(broker, "a", begin))[0] == messages


@pytest.mark.parametrize("name", [" ", "a.b*>", "é", "\U0001f600", "x" * 200, "é" * 110, "{a}"])
async def test_any_name_has_a_past_of_its_own(keeper_url: str, name: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        for channel in ("a", "A", "log", name):
            first, *_ = await published(broker, channel, b"first", channel.encode())
            assert payloads_of(await broker.past(channel, first)) == [channel.encode()]


@pytest.mark.parametrize("size", [5, 300_000, 1_000_000])
async def test_what_is_large_comes_in_parts(keeper_url: str, size: int) -> None:
    messages = [b"%d" % i + bytes(size) for i in range(10)]
    async with started(keeper_url, history=TEN) as (broker, _):
        begin = (await broker.past("a", None)).position
        positions = await published(broker, "a", *messages)
        for i, since in enumerate((begin, *positions)):
            assert (await everything(broker, "a", since))[0] == messages[i:]


async def test_many_small_ones_come_in_parts(keeper_url: str) -> None:
    async with started(keeper_url, history=History(9000, 60.0)) as (broker, _):
        begin = (await broker.past("a", None)).position
        every = [broker.publish("a", b"%d" % i) for i in range(9000)]
        await asyncio.gather(*every)
        assert (await broker.past("a", begin)).is_part
        assert (await everything(broker, "a", begin))[0] == numbered(9000)


async def test_who_ask_together_are_each_told_what_is_theirs(keeper_url: str) -> None:
    """All who ask at once are answered from what is read for them together."""
    messages = [b"%d" % i + bytes(800_000) for i in range(8)]
    async with started(keeper_url, history=TEN) as (broker, _):
        positions = await published(broker, "a", *messages)
        nobody = Position("other", 0)
        asks = [broker.past("a", since) for since in (nobody, *positions)]
        unknown, *pasts = await asyncio.gather(*asks)
        assert not unknown.recovered
        assert all(past.recovered for past in pasts)
        assert {past.position for past in (unknown, *pasts)} == {positions[-1]}
        for i, past in enumerate(pasts):
            found = payloads_of(past)
            assert found == messages[i + 1 :][: len(found)]
            assert bool(found) is (i + 1 < len(messages))


async def test_what_has_no_history_has_no_past(keeper_url: str) -> None:
    async with started(keeper_url) as (broker, _):
        assert (await broker.publish("a", b"x")).position is None
        with pytest.raises(RuntimeError, match="has no history"):
            await broker.past("a", None)


# Message ids.


async def test_an_id_is_published_once(keeper_url: str) -> None:
    async with started(keeper_url, "a", "b", history=TEN) as (broker, told):
        first = await broker.publish("a", b"1", "id")
        for _ in range(2):
            assert await broker.publish("a", b"again", "id") == first._replace(duplicate=True)
        assert not (await broker.publish("b", b"2", "id")).duplicate
        assert not (await broker.publish("a", b"3", "ID")).duplicate
        await until(lambda: len(told.messages) >= 3)
        assert sorted(told.messages) == [("a", b"1"), ("a", b"3"), ("b", b"2")]
        assert told.gaps == []
        assert first.position is not None
        assert payloads_of(await broker.past("a", first.position)) == [b"3"]


@pytest.mark.parametrize("name", ["", " ", "\r\n", "é", "\ud800", "x" * 10_000])
async def test_any_id(keeper_url: str, name: str) -> None:
    async with started(keeper_url, history=TEN) as (broker, _):
        receipts = [await broker.publish("a", b"x", name) for _ in range(2)]
        assert [receipt.duplicate for receipt in receipts] == [False, True]
        assert not (await broker.publish("a", b"x", name + "x")).duplicate


async def test_of_many_with_the_same_id_one_is_published(keeper_url: str) -> None:
    async with started(keeper_url, "a", history=TEN) as (broker, told):
        receipts = await asyncio.gather(*(broker.publish("a", b"x", "id") for _ in range(100)))
        assert [receipt.duplicate for receipt in receipts] == [False] + [True] * 99
        assert len({receipt.position for receipt in receipts}) == 1
        await broker.publish("a", b"end")
        await told.have(("a", b"x"), ("a", b"end"))


async def test_with_and_without_ids_at_once(keeper_url: str) -> None:
    async with started(keeper_url, "a", history=History(1000, 60.0)) as (broker, told):
        begin = (await broker.past("a", None)).position
        ids = [None if i % 3 else str(i % 2) for i in range(300)]
        every = [broker.publish("a", b"%d" % i, one) for i, one in enumerate(ids)]
        receipts = await asyncio.gather(*every)
        new = [b"%d" % i for i, receipt in enumerate(receipts) if not receipt.duplicate]
        assert len(new) == 202
        await told.have(*(("a", payload) for payload in new))
        assert payloads_of(await broker.past("a", begin)) == new


async def test_memory_knows_ids_without_a_history() -> None:
    await knows_ids("memory://")


async def test_redis_knows_ids_without_a_history(redis: RedisServer) -> None:
    await knows_ids(redis.url)


async def knows_ids(url: str) -> None:
    async with started(url, "a") as (broker, told):
        assert not (await broker.publish("a", b"1", "id")).duplicate
        assert (await broker.publish("a", b"2", "id")).duplicate
        await broker.publish("a", b"3")
        await told.have(("a", b"1"), ("a", b"3"))


async def test_nats_knows_no_ids_without_a_history(nats: NatsServer) -> None:
    async with started(nats.url, "a") as (broker, told):
        with pytest.raises(ValueError, match="only in a room that has a history"):
            await broker.publish("a", b"1", "id")
        assert await broker.publish("a", b"2") == Receipt(None, duplicate=False)
        await told.have(("a", b"2"))
        assert told.positions == [None]
