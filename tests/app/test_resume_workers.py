"""Clients that go from worker to worker, and still get each message once, on Redis and NATS."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack

import pytest

from fastws import (
    App,
    BrokerUnavailable,
    Gap,
    History,
    Limits,
    Message,
    Resumed,
    RoomPosition,
    WebSocket,
)
from fastws.testing import Client, connect, lifespan
from tests.rooms.brokers.engines import KEEPERS, Engine
from tests.server.serving import until

ROOM = "kept/a"


class Enter(Message):
    position: RoomPosition


class Said(Message):
    n: int


class Heard(Message, tag="Said"):
    """The same, as it comes."""

    n: int
    position: RoomPosition


def make(url: str) -> App:
    """Makes what one worker runs."""
    app = App(
        broker=url,
        history={"kept/": History(count=500, ttl=60)},
        limits=Limits(broker_timeout=2.0, max_outbox_messages=10_000),
    )

    @app.websocket("/ws", messages=Enter)
    async def talk(ws: WebSocket[Enter]) -> None:
        await ws.accept()
        async for message in ws:
            await ws.resume(message.position)

    return app


@pytest.fixture(params=KEEPERS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with ExitStack() as ends:
        server = KEEPERS[request.param](ends)
        server.start()
        yield server


@pytest.fixture
async def workers(engine: Engine) -> AsyncIterator[list[App]]:
    apps = [make(engine.url) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(lifespan(app))
        yield apps


async def resumed(ws: Client, position: RoomPosition) -> Resumed:
    """Enters the room; gives the answer."""
    await ws.send(Enter(position))
    return await ws.expect(Resumed)


async def test_a_client_that_goes_from_worker_to_worker(workers: list[App]) -> None:
    choose = random.Random(7)
    position = RoomPosition(ROOM)
    heard: list[int] = []
    for life in range(12):
        async with connect(choose.choice(workers), "/ws") as ws:
            answer = await resumed(ws, position)
            assert answer.recovered is (life > 0)
            for n in range(10):
                await choose.choice(workers).rooms.publish(ROOM, Said(life * 10 + n))
            position = answer.position
            # Not all, before it goes.
            for _ in range(choose.randrange(8)):
                message = await ws.expect(Heard)
                heard.append(message.n)
                position = message.position
    async with connect(workers[0], "/ws") as ws:
        await resumed(ws, position)
        while len(heard) < 120:
            heard.append((await ws.expect(Heard)).n)
        await ws.expect_nothing()
    assert heard == list(range(120))


async def test_what_one_says_while_others_come_back(workers: list[App]) -> None:
    """Messages come all the time, by both workers; nobody has one twice or misses one."""
    ended = asyncio.Event()
    published: list[int] = []

    async def publish(app: App) -> None:
        for n in range(150):
            receipt = await app.rooms.publish(ROOM, Said(n))
            assert receipt.position is not None
            published.append(receipt.position.number)
            await asyncio.sleep(0)

    async def live(app: App) -> list[int]:
        numbers: list[int] = []
        position = RoomPosition(ROOM)
        while not (ended.is_set() and numbers and numbers[-1] == max(published)):
            async with connect(app, "/ws") as ws:
                position = (await resumed(ws, position)).position
                for _ in range(20):
                    if ended.is_set() and numbers and numbers[-1] == max(published):
                        break
                    message = await ws.expect(Heard)
                    position = message.position
                    numbers.append(position.number)
        return numbers

    clients = [asyncio.create_task(live(app)) for app in workers * 2]
    await until(lambda: all(app.rooms.population == 2 for app in workers))
    await asyncio.gather(*map(publish, workers))
    ended.set()
    async with asyncio.timeout(30):
        heard = await asyncio.gather(*clients)
    everything = sorted(published)
    for numbers in heard:
        assert numbers == everything[everything.index(numbers[0]) :]
        assert len(numbers) > 200
    assert all(app.rooms.counters.gaps == 0 for app in workers)


async def test_an_engine_that_has_forgotten(engine: Engine, workers: list[App]) -> None:
    async with connect(workers[0], "/ws") as ws:
        await resumed(ws, RoomPosition(ROOM))
        await workers[0].rooms.publish(ROOM, Said(1))
        position = (await ws.expect(Heard)).position
        engine.kill()
        engine.forget()
        await until(lambda: not workers[0].ready)
        with pytest.raises(BrokerUnavailable):
            await workers[0].rooms.publish(ROOM, Said(2))
        engine.start()
        gaps = {(await ws.expect(Gap)).room for _ in range(2)}
        assert gaps == {ROOM, ""}
        await until(lambda: workers[0].ready)
        answer = await resumed(ws, position)
        assert not answer.recovered
        assert answer.position.epoch != position.epoch
        await workers[0].rooms.publish(ROOM, Said(3))
        assert (await ws.expect(Heard)).n == 3
