"""What happens to what an engine keeps: who comes back then is told, and never half of it."""

import asyncio
from contextlib import ExitStack

import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers import Broker, History, Past, Position
from tests.ports import free_ports
from tests.rooms.brokers.engines import Engine, RedisServer
from tests.rooms.brokers.told import started
from tests.server.serving import until

TEN = History(10, 60.0)
# Where an engine is to be silent for longer, or is to be asked soon; yet enough for a busy machine.
TIMEOUT = 2.0


async def publish(broker: Broker, *payloads: bytes) -> Position:
    """Publishes to "a"; gives the position of the last."""
    position = None
    for payload in payloads:
        position = (await broker.publish("a", payload)).position
    assert position is not None
    return position


async def missed(broker: Broker, since: Position) -> list[bytes] | None:
    past = await broker.past("a", since)
    return [kept.payload for kept in past.messages] if past.recovered else None


async def goes_on(broker: Broker) -> None:
    """Whatever was, what comes now is kept."""
    position = await publish(broker, b"x")
    await publish(broker, b"y", b"z")
    assert await missed(broker, position) == [b"y", b"z"]


async def test_killed_and_restarted_without_its_data(keeper: Engine, ends: ExitStack) -> None:
    async with started(keeper.url, "a", history=TEN) as (broker, told):
        old = await publish(broker, *(b"%d" % i for i in range(5)))
        keeper.kill()
        keeper.forget()
        await until(lambda: not broker.connected)
        with pytest.raises(BrokerUnavailable, match="out of reach"):
            await broker.past("a", old)
        keeper.start()
        await until(lambda: broker.connected)
        assert await missed(broker, old) is None
        # Also if the numbers have come as far as before.
        new = await publish(broker, *(b"%d" % i for i in range(9)))
        assert new.epoch != old.epoch
        assert await missed(broker, old) is None
        assert told.gaps == [("a", None)]
        await goes_on(broker)


@pytest.mark.deep
async def test_paused(keeper: Engine) -> None:
    async with started(keeper.url, "a", history=TEN, broker_timeout=TIMEOUT) as (broker, _):
        position = await publish(broker, b"0")
        await publish(broker, b"1")
        keeper.pause()
        with pytest.raises(BrokerUnavailable):
            async with asyncio.timeout(5):
                await broker.past("a", position)
        keeper.resume()
        await until(lambda: broker.connected)
        assert await missed(broker, position) == [b"1"]


async def test_cut_off_while_many_ask(keeper: Engine) -> None:
    async with started(keeper.url, "a", history=TEN) as (broker, _):
        position = await publish(broker, b"0")
        await publish(broker, b"1")
        asks = [asyncio.create_task(broker.past(str(i), position)) for i in range(200)]
        asks += [asyncio.create_task(broker.past("a", position)) for _ in range(200)]
        await asyncio.sleep(0)
        keeper.kill()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*asks, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {Past, BrokerUnavailable}
        assert BrokerUnavailable in {type(answer) for answer in answers}


# Redis.


async def test_redis_restarted_with_its_data_may_have_lost_the_end(ends: ExitStack) -> None:
    """So what was before does not count, though here all of it is there again."""
    redis = RedisServer(ends, "--appendonly", "yes", "--appendfsync", "always")
    redis.start()
    async with started(redis.url, "a", history=TEN) as (broker, told):
        old = await publish(broker, b"0", b"1")
        elsewhere = (await broker.publish("b", b"0")).position
        redis.kill()
        await until(lambda: not broker.connected)
        redis.start()
        await until(lambda: broker.connected)
        assert await redis.call("EXISTS", "fastws:a", "fastws:b") == 2
        assert not (await broker.past("b", elsewhere)).recovered
        assert (await publish(broker, b"again")).epoch != old.epoch
        assert await missed(broker, old) is None
        assert told.gaps == [("a", None)]
        await goes_on(broker)


async def test_an_id_outlives_a_redis_that_keeps_its_data(ends: ExitStack) -> None:
    redis = RedisServer(ends, "--appendonly", "yes", "--appendfsync", "always")
    redis.start()
    async with started(redis.url, "a", history=TEN) as (broker, _):
        first = await broker.publish("a", b"0", "id")
        redis.kill()
        await until(lambda: not broker.connected)
        redis.start()
        await until(lambda: broker.connected)
        assert await broker.publish("a", b"0", "id") == first._replace(duplicate=True)


async def test_redis_is_emptied(redis: RedisServer) -> None:
    async with started(redis.url, "a", history=TEN) as (broker, told):
        old = await publish(broker, b"0", b"1")
        await redis.call("FLUSHALL")
        assert await missed(broker, old) is None
        await publish(broker, b"2", b"3", b"4")
        assert await missed(broker, old) is None
        await until(lambda: len(told.messages) == 5)
        assert told.gaps == [("a", None)]
        await goes_on(broker)


async def test_what_redis_evicts(redis: RedisServer) -> None:
    async with started(redis.url, "a", history=TEN) as (broker, _):
        first = await publish(broker, b"0")
        last = await publish(broker, b"1")
        await redis.call("DEL", "fastws.log:{fastws:a}")
        assert await missed(broker, first) is None
        assert await missed(broker, last) == []
        await publish(broker, b"2")
        assert await missed(broker, first) is None
        assert await missed(broker, last) == [b"2"]
        await redis.call("DEL", "fastws:a")
        assert await missed(broker, last) is None
        await goes_on(broker)


async def test_a_hole_in_what_redis_has_kept(redis: RedisServer) -> None:
    async with started(redis.url, "a", history=TEN) as (broker, _):
        positions = [await publish(broker, b"%d" % i) for i in range(5)]
        await redis.call("XDEL", "fastws.log:{fastws:a}", f"{positions[2].number}-0")
        assert await missed(broker, positions[0]) is None
        assert await missed(broker, positions[1]) is None
        assert await missed(broker, positions[2]) == [b"3", b"4"]
        await redis.call("XDEL", "fastws.log:{fastws:a}", f"{positions[4].number}-0")
        assert await missed(broker, positions[3]) is None
        assert await missed(broker, positions[4]) == []


async def test_redis_fails_over(ends: ExitStack) -> None:
    """The replica may not have had the last messages."""
    (port,) = free_ports(1)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
    primary, replica = RedisServer(ends, *options), RedisServer(ends)
    primary.start()
    replica.start()
    async with started(primary.url, "a", history=TEN) as (broker, _):
        old = await publish(broker, b"0")
        await publish(broker, b"1")
        await replica.call("REPLICAOF", "127.0.0.1", port)
        await replica.until("INFO", "replication", shows="'master_link_status': 'up'")
    async with started(replica.url, "a", history=TEN) as (broker, _):
        with pytest.raises(BrokerUnavailable):
            await publish(broker, b"a replica takes nothing")
    await replica.call("REPLICAOF", "NO", "ONE")
    async with started(replica.url, "a", history=TEN) as (broker, _):
        assert await missed(broker, old) is None
        await goes_on(broker)


async def test_a_redis_with_other_data_is_noticed(redis: RedisServer) -> None:
    """As after it was a replica for a while, which ends no connection."""
    async with started(redis.url, "a", history=TEN, broker_timeout=TIMEOUT) as (broker, told):
        old = await publish(broker, b"0")
        await redis.call("REPLICAOF", "127.0.0.1", 1)
        await redis.call("REPLICAOF", "NO", "ONE")
        await until(lambda: ("a", None) in told.gaps)
        await until(lambda: broker.connected)
        assert await missed(broker, old) is None
        await goes_on(broker)


async def test_redis_forgets_in_time(redis: RedisServer) -> None:
    async with started(redis.url, history=History(10, 600.0)) as (broker, _):
        await broker.publish("a", b"0", "id")
        keys = {"fastws.log:{fastws:a}": 600}
        (identity,) = await redis.call("KEYS", "fastws.id:*")
        keys[identity.decode()] = 120
        for key, seconds in keys.items():
            assert seconds - 60 < await redis.call("TTL", key) <= seconds
        assert await redis.call("TTL", "fastws:a") > 12 * 60 * 60
        for _ in range(30):
            await broker.publish("a", b"0")
        assert await redis.call("XLEN", "fastws.log:{fastws:a}") == 10
    async with started(redis.url, history=History(10, 10.0**6)) as (broker, _):
        await broker.publish("b", b"0")
        # Or nobody would know that nothing was published since.
        assert await redis.call("TTL", "fastws:b") > 10**6


async def test_a_history_is_gone_after_its_time(redis: RedisServer) -> None:
    async with started(redis.url, history=History(10, 0.05)) as (broker, _):
        first = await publish(broker, b"0")
        last = await publish(broker, b"1")
        await redis.until("EXISTS", "fastws.log:{fastws:a}", shows="0")
        assert await missed(broker, first) is None
        assert await missed(broker, last) == []
