"""What all brokers have in common, on real engines."""

import asyncio
import random

import pytest

from fastws.rooms.brokers import Broker
from tests.rooms.brokers.told import Told, made, started
from tests.server.serving import until

NAMES = ["", " ", "a", "A", "a.b", "a.>", "*", ">", "é", "e\u0301", "%", "%25", "$SYS", "a b\r\nc"]
NAMES += ["\x00", "\U0001f600", "x" * 200, "é" * 100, "fastws", "fastws:a", "a:b", "lobby/1?x=y#z"]


async def reaches(broker: Broker, told: Told, payload: bytes) -> None:
    """Publishes to the channel "end" and waits for that: what was before has come by then."""
    await broker.publish("end", payload)
    await until(lambda: ("end", payload) in told.messages)


async def test_messages_come_in_order_to_whom_wants_them(url: str) -> None:
    async with started(url, "a") as (broker, told):
        assert broker.connected
        await broker.publish("a", b"1")
        await broker.publish("A", b"2")
        broker.subscribe("A")
        await broker.publish("A", b"3")
        await broker.publish("a", b"4")
        await until(lambda: len(told.messages) == 3)
        broker.unsubscribe("a")
        broker.unsubscribe("a")
        await broker.publish("a", b"5")
        await broker.publish("A", b"")
        await until(lambda: ("A", b"") in told.messages)
        by_channel = {c: [p for name, p in told.messages if name == c] for c in "aA"}
        assert by_channel == {"a": [b"1", b"4"], "A": [b"3", b""]}
        assert (told.gaps, told.foreign) == ([], [])


async def test_names_are_apart(url: str) -> None:
    async with started(url, *NAMES) as (broker, told):
        for i, name in enumerate(NAMES):
            await broker.publish(name, b"%d" % i)
        await until(lambda: len(told.messages) >= len(NAMES))
        assert sorted(told.messages) == sorted((name, b"%d" % i) for i, name in enumerate(NAMES))
        for name in NAMES[::2]:
            broker.unsubscribe(name)
        for i, name in enumerate(NAMES):
            await broker.publish(name, b"again %d" % i)
        broker.subscribe("end")
        await reaches(broker, told, b"")
        again = [name for name, payload in told.messages if payload.startswith(b"again")]
        assert sorted(again) == sorted(NAMES[1::2])


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 1_000_000])
async def test_any_bytes_arrive_as_they_are(url: str, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    async with started(url, "a") as (broker, told):
        await broker.publish("a", payload)
        await told.have(("a", payload))


async def test_what_many_publish_at_once_keeps_the_order_of_each(url: str) -> None:
    async def publish(who: int) -> None:
        for i in range(50):
            await broker.publish(str(who % 3), b"%d %d" % (who, i))

    async with started(url, "0", "1", "2") as (broker, told):
        await asyncio.gather(*map(publish, range(20)))
        await until(lambda: len(told.messages) == 1000)
        for who in range(20):
            own = [p for c, p in told.messages if p.startswith(b"%d " % who) and c == str(who % 3)]
            assert own == [b"%d %d" % (who, i) for i in range(50)]


@pytest.mark.parametrize("seed", range(5))
async def test_joining_and_leaving_in_any_order_ends_right(url: str, seed: int) -> None:
    choose = random.Random(seed)
    names = [str(i) for i in range(8)]
    wanted: set[str] = set()
    async with started(url, "end") as (broker, told):
        for step in range(300):
            name = choose.choice(names)
            if choose.random() < 0.5:
                broker.subscribe(name)
                wanted.add(name)
            else:
                broker.unsubscribe(name)
                wanted.discard(name)
            if choose.random() < 0.1:
                # What is published after a join comes, however soon.
                payload = b"step %d" % step
                await broker.publish(name, payload)
                await reaches(broker, told, payload)
                assert ((name, payload) in told.messages) is (name in wanted)
            elif choose.random() < 0.3:
                await asyncio.sleep(0)
        assert told.gaps == []


async def test_without_a_receiver_nothing_happens(url: str) -> None:
    broker, _ = made(url)
    broker.receiver = None
    broker.subscribe("a")
    await broker.start()
    await broker.publish("a", b"x")
    await broker.stop()
    await broker.stop()
