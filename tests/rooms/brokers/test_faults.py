"""What happens to an engine, and what comes of it: red while it lasts, told when it is over."""

import asyncio
import random
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers import Broker
from fastws.rooms.brokers.nats import NatsEngine
from tests.rooms.brokers.engines import ENGINES, Engine, NatsServer, RedisServer
from tests.rooms.brokers.told import Told, made, started
from tests.server.serving import until

TIMEOUT = 0.5  # broker_timeout, where an engine is to be silent for longer


async def refuses(broker: Broker) -> str:
    """Publishes in vain, within a bounded time; gives what is said of it."""
    with pytest.raises(BrokerUnavailable) as caught:
        async with asyncio.timeout(5):
            await broker.publish("a", b"in vain")
    return str(caught.value)


async def works(broker: Broker, told: Told) -> None:
    """Publishes until it arrives, once the broker is connected."""
    await until(lambda: broker.connected)
    await broker.publish("a", b"well")
    await until(lambda: ("a", b"well") in told.messages)
    told.messages.clear()


async def test_killed_and_restarted(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async with started(engine.url, "a", "b") as (broker, told):
        await works(broker, told)
        engine.kill()
        await until(lambda: not broker.connected)
        assert "is out of reach: " in await refuses(broker)
        # Who joins and leaves meanwhile.
        broker.subscribe("c")
        broker.unsubscribe("b")
        broker.subscribe("d")
        broker.unsubscribe("d")
        assert told.gaps == []
        engine.start()
        await works(broker, told)
        assert sorted(told.gaps) == [("a", None), ("c", None)]
        for channel in "bcd":
            await broker.publish(channel, channel.encode())
        await broker.publish("a", b"end")
        await until(lambda: ("a", b"end") in told.messages)
        assert sorted(told.messages) == [("a", b"end"), ("c", b"c")]
        warnings = [record for record in caplog.records if record.name == "fastws.rooms"]
        assert 1 <= len(warnings) <= 4


async def test_restarted_again_and_again(engine: Engine) -> None:
    async with started(engine.url, "a") as (broker, told):
        for i in range(1, 5):
            engine.kill()
            await until(lambda: not broker.connected)
            engine.start()
            await works(broker, told)
            assert told.gaps == [("a", None)] * i


async def test_paused(engine: Engine) -> None:
    async with started(engine.url, "a", broker_timeout=TIMEOUT) as (broker, told):
        engine.pause()
        said = await refuses(broker)
        assert "has not answered" in said or "is out of reach" in said
        await until(lambda: not broker.connected)
        assert "is out of reach: " in await refuses(broker)
        engine.resume()
        await works(broker, told)
        assert ("a", None) in told.gaps


async def test_paused_while_nobody_publishes(engine: Engine) -> None:
    async with started(engine.url, "a", broker_timeout=TIMEOUT) as (broker, told):
        engine.pause()
        await until(lambda: not broker.connected)
        engine.resume()
        await works(broker, told)
        assert ("a", None) in told.gaps


async def test_redis_pauses_its_clients(redis: RedisServer) -> None:
    """For less than the time-out: nothing is lost, it only takes its time."""
    async with started(redis.url, "a") as (broker, told):
        await redis.call("CLIENT", "PAUSE", "300", "ALL")
        await asyncio.gather(*(broker.publish("a", b"%d" % i) for i in range(10)))
        await told.have(*(("a", b"%d" % i) for i in range(10)))
        assert told.gaps == []


async def test_what_subscribes_is_cut_off(engine: Engine) -> None:
    async with started(engine.url, "a") as (broker, told):
        await engine.cut()
        await until(lambda: told.gaps)
        await works(broker, told)
        assert told.gaps == [("a", None)]


async def test_what_publishes_is_cut_off(redis: RedisServer) -> None:
    async with started(redis.url, "a") as (broker, told):
        await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with suppress(BrokerUnavailable):
            await broker.publish("a", b"perhaps")
        await until(lambda: told.gaps)
        await works(broker, told)


async def test_an_output_buffer_that_is_too_small(redis: RedisServer) -> None:
    async with started(redis.url, "a", "b") as (broker, told):
        await redis.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 32kb 1")
        # Redis has taken it, and cannot give it to whom it is for.
        await broker.publish("a", bytes(1_000_000))
        await until(lambda: len(told.gaps) == 2)
        assert sorted(told.gaps) == [("a", None), ("b", None)]
        await works(broker, told)


@pytest.mark.parametrize("name", ENGINES)
async def test_absent_at_the_start(name: str, ends: ExitStack) -> None:
    engine = ENGINES[name](ends)
    async with started(engine.url, "a") as (broker, told):
        assert not broker.connected
        # What is known at once is not waited for.
        assert "it does not answer" not in await refuses(broker)
        broker.subscribe("b")
        engine.start()
        await works(broker, told)
        assert sorted(told.gaps) == [("a", None), ("b", None)]


async def test_not_started(engine: Engine) -> None:
    broker, told = made(engine.url)
    broker.subscribe("a")
    assert "it has not been started" in await refuses(broker)
    for _ in range(2):
        await broker.start()
        await works(broker, told)
        await broker.stop()
        assert "it was stopped" in await refuses(broker)
    await broker.stop()


async def test_what_is_published_too_fast_is_refused(engine: Engine) -> None:
    """While the engine takes nothing, what waits does not grow beyond its bound."""
    limits: dict[str, Any] = {"broker_timeout": TIMEOUT, "max_broker_queue": 100_000}
    async with started(engine.url, "a", **limits) as (broker, told):
        engine.pause()
        every = [broker.publish("a", bytes(10_000)) for _ in range(100)]
        outcomes = await asyncio.gather(*every, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {BrokerUnavailable}
        at_once = [o for o in outcomes if "slower than what is published" in str(o)]
        assert len(at_once) == 100 - 9
        engine.resume()
        await works(broker, told)
        await asyncio.gather(*(broker.publish("a", bytes(10_000)) for _ in range(9)))


async def test_who_does_not_wait_any_more_is_forgotten(engine: Engine) -> None:
    async with started(engine.url, "a", max_broker_queue=10_000) as (broker, told):
        for _ in range(3):
            tasks = [asyncio.create_task(broker.publish("a", bytes(2_000))) for _ in range(4)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            told.messages.clear()
            await works(broker, told)


@pytest.mark.parametrize("seed", range(8))
async def test_stopping_during_everything(engine: Engine, seed: int) -> None:
    choose = random.Random(seed)
    broker, told = made(engine.url, broker_timeout=TIMEOUT)

    async def publish() -> None:
        with suppress(BrokerUnavailable):
            while True:
                await broker.publish(str(choose.randrange(9)), b"x" * choose.randrange(9999))

    async def join_and_leave() -> None:
        while True:
            for _ in range(3):
                broker.subscribe(str(choose.randrange(9)))
                broker.unsubscribe(str(choose.randrange(9)))
            await asyncio.sleep(0)

    async def settle() -> None:
        with suppress(BrokerUnavailable):
            while True:
                await broker.settled()

    async def turns() -> None:
        for _ in range(choose.randrange(100)):
            await asyncio.sleep(0)

    before = asyncio.all_tasks()
    starting = asyncio.create_task(broker.start())
    await turns()
    tasks = [asyncio.create_task(publish()) for _ in range(20)]
    tasks += [asyncio.create_task(settle()) for _ in range(3)]
    joining = asyncio.create_task(join_and_leave())
    await turns()
    match choose.randrange(4):
        case 0:
            engine.kill()
        case 1:
            engine.pause()
    await turns()
    async with asyncio.timeout(5):
        await broker.stop()
        await asyncio.gather(*tasks)
    starting.cancel()
    joining.cancel()
    count = len(told.messages)
    await until(lambda: asyncio.all_tasks() == before)
    assert len(told.messages) == count
    assert not broker.connected


@pytest.mark.parametrize("turns", range(1, 6))
async def test_closing_is_cancelled(nats: NatsServer, turns: int) -> None:
    engine = NatsEngine(nats.url, "fastws")
    before = asyncio.all_tasks()
    await engine.connect([])
    await engine.change(["a"], [])
    closing = asyncio.create_task(engine.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await until(lambda: asyncio.all_tasks() == before)
