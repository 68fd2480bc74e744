"""What brokers have in common whose engine is another process: interest, numbers, foreign bytes."""

import asyncio
from contextlib import ExitStack
from threading import Thread
from typing import Any

import pytest

from fastws.errors import BrokerUnavailable, ProtocolError
from fastws.limits import Limits
from fastws.rooms import Member, Rooms, broker_at
from fastws.rooms.brokers.history import Position
from fastws.rooms.brokers.numbering import Numbered, write
from tests.rooms.brokers.engines import Engine, NatsServer, RedisServer
from tests.rooms.brokers.told import made, started
from tests.rooms.test_member import Wire
from tests.server.serving import until


async def test_each_process_gets_a_message_once(engine: Engine) -> None:
    async with started(engine.url, "a") as (one, told), started(engine.url, "a") as (two, other):
        await one.publish("a", b"1")
        await two.publish("a", b"2")
        for receiver in (told, other):
            await receiver.have(("a", b"1"), ("a", b"2"))


async def test_once_it_is_settled_nothing_is_missed(engine: Engine) -> None:
    async with started(engine.url) as (one, told), started(engine.url) as (two, _):
        channels = [str(i) for i in range(50)]
        for channel in channels:
            one.subscribe(channel)
            await one.settled()
            await two.publish(channel, b"x")
        await until(lambda: len(told.messages) == 50)
        await asyncio.gather(one.settled(), one.settled())
        engine.kill()
        await until(lambda: not one.connected)
        one.subscribe("late")
        with pytest.raises(BrokerUnavailable):
            await one.settled()


async def test_the_engine_is_asked_only_for_what_has_members(engine: Engine) -> None:
    async def asked() -> set[str]:
        return {name for name in await engine.channels() if name.startswith("fastws")}

    async with started(engine.url, "a", "b") as (broker, _):
        assert await asked() == {engine.name_of("a"), engine.name_of("b")}
        broker.unsubscribe("a")
        broker.subscribe("c")
        broker.subscribe("d")
        broker.unsubscribe("d")
        # Which is done once the wishes before it are.
        await broker.publish("c", b"")
        assert await asked() == {engine.name_of("b"), engine.name_of("c")}


async def test_apps_with_prefixes_of_their_own_are_apart(engine: Engine) -> None:
    async with (
        started(f"{engine.url}?prefix=one", "a") as (one, told),
        started(f"{engine.url}?prefix=two", "a") as (two, other),
    ):
        await one.publish("a", b"1")
        await two.publish("a", b"2")
        await told.have(("a", b"1"))
        await other.have(("a", b"2"))


async def test_many_channels(engine: Engine) -> None:
    names = [str(i) for i in range(3000)]
    async with started(engine.url, *names) as (broker, told):
        await asyncio.gather(*(broker.publish(name, name.encode()) for name in names))
        await until(lambda: len(told.messages) >= len(names))
        assert sorted(told.messages) == sorted((name, name.encode()) for name in names)
        for name in names:
            broker.unsubscribe(name)
        await broker.publish("0", b"")
        assert not {name for name in await engine.channels() if name.startswith("fastws")}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00",
        b"{}",
        b"2 e 1 x",
        b"1 e 0x1 x",
        b"1 e -1 x",
        b"1 e 1",
        b"1 e %b x" % (b"9" * 99),
        b"1 e %b x" % "²".encode(),
        b"x" * 1_000_000,
    ],
    ids=lambda data: repr(data[:20]),
)
async def test_foreign_bytes_are_counted_and_skipped(engine: Engine, data: bytes) -> None:
    async with started(engine.url, "a") as (broker, told):
        await engine.put("a", data)
        await until(lambda: told.foreign)
        await broker.publish("a", b"1")
        await told.have(("a", b"1"))
        assert (told.foreign, told.gaps) == (["a"], [])
        assert broker.connected


async def test_a_burst_makes_nobody_slow(engine: Engine) -> None:
    """Members on other servers have tasks that send; those need turns of the loop."""
    rooms, wire = Rooms(broker_at(engine.url)), Wire()
    await rooms.start()
    member = Member(wire, limits=Limits(max_outbox_messages=600))
    rooms.join(member, "room")
    await rooms.settled()

    async def publish() -> None:
        async with started(engine.url) as (broker, _):
            # Each an envelope, as short as it gets.
            await asyncio.gather(*(broker.publish("room", b"\x91\xa1x") for _ in range(5000)))

    # While this loop stands, so that all of it waits to be read.
    thread = Thread(target=asyncio.run, args=(publish(),))
    thread.start()
    thread.join()
    try:
        await until(lambda: len(wire.sent) == 5000 or member.ended)
        assert not member.ended
    finally:
        await rooms.stop()


async def test_a_receiver_that_fails_costs_one_message(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(engine.url, "a") as (broker, told):
        on_message = told.on_message

        def fail(channel: str, payload: bytes, position: Position | None) -> None:
            if payload == b"bad":
                raise ZeroDivisionError
            on_message(channel, payload, position)

        told.on_message = fail  # type: ignore[method-assign]
        await broker.publish("a", b"bad")
        await broker.publish("a", b"good")
        await told.have(("a", b"good"))
        assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_a_hole_in_the_numbers_is_a_gap_of_that_size(engine: Engine) -> None:
    async with started(engine.url, "a") as (broker, told):
        for number in (7, 8, 11):
            await engine.put("a", write(Numbered(b"e", number, b"%d" % number)))
        await told.have(("a", b"7"), ("a", b"8"), ("a", b"11"))
        assert told.gaps == [("a", 2)]
        # Back, which no engine does that has not forgotten something.
        await engine.put("a", write(Numbered(b"e", 5, b"5")))
        await until(lambda: len(told.messages) == 4)
        assert told.gaps == [("a", 2), ("a", None)]
        assert broker.connected


async def test_who_comes_later_misses_nothing(engine: Engine) -> None:
    async with started(engine.url, "a") as (broker, told):
        await broker.publish("a", b"1")
        async with started(engine.url, "a") as (_, late):
            await broker.publish("a", b"2")
            await late.have(("a", b"2"))
            broker.unsubscribe("a")
            await broker.publish("a", b"3")
            broker.subscribe("a")
            await broker.publish("a", b"4")
            await late.have(("a", b"2"), ("a", b"3"), ("a", b"4"))
            await told.have(("a", b"1"), ("a", b"2"), ("a", b"4"))
            assert (told.gaps, late.gaps) == ([], [])


async def test_a_redis_that_is_emptied_is_a_gap(redis: RedisServer) -> None:
    async with started(redis.url, "a") as (broker, told):
        await broker.publish("a", b"1")
        await redis.call("FLUSHALL")
        await broker.publish("a", b"2")
        await broker.publish("a", b"3")
        await told.have(("a", b"1"), ("a", b"2"), ("a", b"3"))
        assert told.gaps == [("a", None)]


async def test_redis_numbers_for_all_who_publish(redis: RedisServer) -> None:
    async with started(redis.url, "a") as (one, told), started(redis.url) as (two, _):
        await one.publish("a", b"1")
        await two.publish("a", b"2")
        await redis.call("HINCRBY", "fastws:a", "number", 5)
        await two.publish("a", b"3")
        await told.have(("a", b"1"), ("a", b"2"), ("a", b"3"))
        assert told.gaps == [("a", 5)]
        assert 0 < await redis.call("TTL", "fastws:a") <= 24 * 60 * 60


async def test_what_redis_refuses_raises_and_harms_nothing(redis: RedisServer) -> None:
    async with started(redis.url, "a") as (broker, told):
        await redis.call("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(BrokerUnavailable, match=r"refuses: .*maxmemory"):
            await broker.publish("a", b"1")
        await redis.call("CONFIG", "SET", "maxmemory", "0")
        await broker.publish("a", b"2")
        await told.have(("a", b"2"))
        assert (broker.connected, told.gaps) == (True, [])


async def test_what_is_too_large_for_nats(nats: NatsServer) -> None:
    async with started(nats.url, "a") as (broker, told):
        with pytest.raises(ProtocolError, match="1009 NATS takes no message of more than"):
            await broker.publish("a", bytes(1024 * 1024))
        await broker.publish("a", bytes(1024 * 1024 - 64))
        await until(lambda: told.messages)
        assert broker.connected


async def test_one_of_several_nats_servers_is_enough(nats: NatsServer, free_port: int) -> None:
    url = f"nats://127.0.0.1:{free_port},{nats.url.removeprefix('nats://')}"
    for _ in range(4):
        async with started(url, "a") as (broker, told):
            await until(lambda: broker.connected)
            await broker.publish("a", b"1")
            await told.have(("a", b"1"))


async def test_a_nats_client_that_reads_no_more_is_not_green(nats: NatsServer) -> None:
    """As after an exception in nats-py, of which it tells nobody."""
    async with started(nats.url, "a", broker_timeout=0.5) as (broker, told):
        engine: Any = broker._engine  # type: ignore[attr-defined]
        engine._client._reading_task.cancel()
        await until(lambda: told.gaps)
        await until(lambda: broker.connected)
        await broker.publish("a", b"1")
        await told.have(("a", b"1"))


async def test_redis_over_tcp_with_a_password(ends: ExitStack, free_port: int) -> None:
    options = ["--port", str(free_port), "--bind", "127.0.0.1", "--requirepass", "secret"]
    RedisServer(ends, *options).start()
    address = f"127.0.0.1:{free_port}/0"
    async with started(f"redis://:secret@{address}?prefix=shop", "a") as (broker, told):
        await broker.publish("a", b"1")
        await told.have(("a", b"1"))
    async with started(f"redis://:wrong@{address}", "a") as (broker, _):
        with pytest.raises(BrokerUnavailable, match=r"is out of reach: .*password") as refused:
            await broker.publish("a", b"1")
        assert "wrong@" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("carrier://pigeon", "carrier:// is no broker"),
        ("redis", ":// is no broker"),
        ("redis://localhost?prefix=a.b", "a prefix has only ASCII letters and digits, not 'a.b'"),
        ("redis://localhost:port", "Port could not be cast"),
        ("nats://", "nats:// needs a host"),
    ],
)
def test_a_url_that_makes_no_sense(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        made(url)


def test_passwords_are_in_no_message() -> None:
    for url in ("redis://user:secret@localhost:1", "nats://u:secret@localhost:1,v:secret@[::1]:2"):
        broker: Any = made(url)[0]
        assert "localhost:1" in broker._engine.name
        assert "secret" not in broker._engine.name
