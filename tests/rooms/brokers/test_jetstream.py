"""What JetStream keeps, and what may happen to its streams."""

import asyncio
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers import Broker, History, Receipt
from fastws.testing.waiting import nap, patience
from tests.ports import free_ports
from tests.processes import PATIENCE
from tests.rooms.brokers.engines import JetStream, NatsServer
from tests.rooms.brokers.test_keeping import TEN, TIMEOUT, goes_on, missed, publish
from tests.rooms.brokers.told import started
from tests.server.serving import until

STREAM = "fastws-10-60000"
SUBJECTS = "fastws-log.10-60000"


async def changed(jetstream: JetStream, **fields: Any) -> None:
    """Changes the stream as an operator would."""
    info = await jetstream.call(f"STREAM.INFO.{STREAM}")
    answer = await jetstream.call(f"STREAM.UPDATE.{STREAM}", **{**info["config"], **fields})
    assert "error" not in answer


async def test_it_goes_on_after_it_was_killed(jetstream: JetStream) -> None:
    async with started(jetstream.url, "a", history=TEN) as (broker, told):
        first = await publish(broker, b"0")
        second = await broker.publish("a", b"1", "id")
        jetstream.kill()
        await until(lambda: not broker.connected)
        with pytest.raises(BrokerUnavailable):
            await broker.publish("a", b"in vain")
        jetstream.start()
        await until(lambda: broker.connected)
        assert await missed(broker, first) == [b"1"]
        assert await broker.publish("a", b"1", "id") == second._replace(duplicate=True)
        third = await publish(broker, b"2")
        assert third.epoch == first.epoch
        assert await missed(broker, first) == [b"1", b"2"]
        assert told.gaps == [("a", None)]


async def test_a_quiet_room_beside_a_busy_one(jetstream: JetStream) -> None:
    """What the stream has forgotten of others does not count."""
    async with started(jetstream.url, history=TEN) as (broker, _):
        begin = (await broker.past("b", None)).position
        first = await publish(broker, b"0")
        for i in range(30):
            await broker.publish("c", b"%d" % i)
        assert await missed(broker, first) == []
        await publish(broker, b"1")
        assert await missed(broker, first) == [b"1"]
        await jetstream.call(f"STREAM.PURGE.{STREAM}", seq=first.number)
        assert await missed(broker, first) == [b"1"]
        assert (await broker.past("b", begin)).recovered
        await jetstream.call(f"STREAM.PURGE.{STREAM}", seq=first.number + 2)
        # Now nobody knows whether there was something between.
        assert await missed(broker, first) is None
        assert not (await broker.past("b", begin)).recovered
        await goes_on(broker)


async def test_so_many_may_be_missed_beside_a_busy_room(jetstream: JetStream) -> None:
    async with started(jetstream.url, history=TEN) as (broker, _):
        first = await publish(broker, b"first")
        await broker.publish("c", b"x")
        await jetstream.call(f"STREAM.PURGE.{STREAM}", filter=f"{SUBJECTS}.c")
        payloads = [b"%d" % i for i in range(10)]
        await publish(broker, *payloads)
        assert await missed(broker, first) == payloads
        await publish(broker, b"one too many")
        assert await missed(broker, first) is None


async def test_the_stream_is_emptied(jetstream: JetStream) -> None:
    async with started(jetstream.url, "a", history=TEN) as (broker, told):
        first = await publish(broker, b"0")
        second = await publish(broker, b"1")
        await jetstream.call(f"STREAM.PURGE.{STREAM}")
        assert await missed(broker, first) is None
        assert await missed(broker, second) == []
        third = await publish(broker, b"2")
        assert await missed(broker, first) is None
        assert await missed(broker, second) == [b"2"]
        assert third.epoch == first.epoch
        await until(lambda: len(told.messages) == 3)
        # NATS does not know the number of the one before any more.
        assert told.gaps == [("a", None)]
        await goes_on(broker)


async def test_the_stream_is_removed(jetstream: JetStream) -> None:
    """A moment later there is another one, with numbers that begin anew."""
    async with started(jetstream.url, "a", history=TEN, broker_timeout=TIMEOUT) as (broker, told):
        old = await publish(broker, b"0", b"1")
        await jetstream.call(f"STREAM.DELETE.{STREAM}")
        with pytest.raises(BrokerUnavailable):
            await publish(broker, b"in vain")
        await until(lambda: told.gaps)
        await until(lambda: broker.connected)
        new = await publish(broker, b"2", b"3", b"4")
        assert new.epoch != old.epoch
        assert await missed(broker, old) is None
        await goes_on(broker)


async def test_the_stream_is_replaced_behind_its_back(jetstream: JetStream) -> None:
    """Who asks is not given what is another one's."""
    # Which is noticed by itself only later than this test lasts.
    async with started(jetstream.url, history=TEN, broker_timeout=100.0) as (broker, _):
        old = await publish(broker, b"0")
        config = (await jetstream.call(f"STREAM.INFO.{STREAM}"))["config"]
        await jetstream.call(f"STREAM.DELETE.{STREAM}")
        await jetstream.call(f"STREAM.CREATE.{STREAM}", **config)
        await publish(broker, b"other 0", b"other 1")
        with pytest.raises(BrokerUnavailable):
            await broker.past("a", old)
        await until(lambda: broker.connected)
        assert await missed(broker, old) is None


async def test_what_an_operator_sets_stays_and_what_we_need_is_set(jetstream: JetStream) -> None:
    async with started(jetstream.url, history=TEN) as (broker, _):
        first = await publish(broker, b"0")
    await changed(jetstream, max_bytes=10_000_000, max_msgs_per_subject=2)
    async with started(jetstream.url, history=TEN) as (broker, _):
        await publish(broker, *(b"%d" % i for i in range(10)))
        assert await missed(broker, first) == [b"%d" % i for i in range(10)]
    config = (await jetstream.call(f"STREAM.INFO.{STREAM}"))["config"]
    assert (config["max_bytes"], config["max_msgs_per_subject"]) == (10_000_000, 11)


async def test_another_stream_has_the_subjects(jetstream: JetStream) -> None:
    await jetstream.call("STREAM.CREATE.other", name="other", subjects=[f"{SUBJECTS}.*"])
    async with started(jetstream.url, history=TEN) as (broker, _):
        assert not broker.connected
        with pytest.raises(BrokerUnavailable, match=f"refuses the stream {STREAM}: .*overlap"):
            await publish(broker, b"0")
        await jetstream.call("STREAM.DELETE.other")
        await until(lambda: broker.connected)
        await goes_on(broker)


async def test_without_jetstream_nothing_is_kept(nats: NatsServer) -> None:
    async with started(nats.url, history=TEN) as (broker, _):
        assert not broker.connected
        with pytest.raises(BrokerUnavailable, match="JetStream is not enabled"):
            await publish(broker, b"0")
        with pytest.raises(BrokerUnavailable, match="JetStream is not enabled"):
            await broker.past("a", None)


async def test_what_the_stream_refuses_raises_and_harms_nothing(jetstream: JetStream) -> None:
    async with started(jetstream.url, "a", history=TEN) as (broker, told):
        await changed(jetstream, max_msg_size=100)
        with pytest.raises(BrokerUnavailable, match=r"refuses: .*size"):
            await publish(broker, bytes(200))
        await publish(broker, b"0")
        await told.have(("a", b"0"))
        assert (broker.connected, told.gaps) == (True, [])


async def test_many_workers_start_at_once(jetstream: JetStream) -> None:
    async with AsyncExitStack() as stack:
        every = [started(jetstream.url, "a", history=TEN) for _ in range(8)]
        brokers = await asyncio.gather(*map(stack.enter_async_context, every))
        assert all(broker.connected for broker, _ in brokers)
        await publish(brokers[0][0], b"0")
        for _, told in brokers:
            await told.have(("a", b"0"))
            assert told.positions == brokers[0][1].positions


async def test_each_history_has_a_stream(jetstream: JetStream) -> None:
    short = History(1, 0.5)
    async with (
        started(jetstream.url, "a", history=TEN) as (one, told),
        started(jetstream.url, "b", history=short) as (two, other),
    ):
        await publish(one, b"0")
        assert (await two.publish("b", b"1")).position is not None
        await told.have(("a", b"0"))
        await other.have(("b", b"1"))
        streams = (await jetstream.call("STREAM.NAMES"))["streams"]
        assert sorted(streams) == ["fastws-1-500", STREAM]


async def test_workers_that_keep_differently_hear_each_other(jetstream: JetStream) -> None:
    """As while one version replaces another; what is missing then is told."""
    async with (
        started(jetstream.url, "a", history=TEN) as (one, told),
        started(jetstream.url, "a", history=History(5, 60.0)) as (two, other),
        started(jetstream.url, "a") as (three, plain),
    ):
        for i, broker in enumerate((one, two, three, one, two, three)):
            await broker.publish("a", b"%d" % i)
            for receiver in (told, other, plain):
                await until(lambda r=receiver, n=i: len(r.messages) == n + 1)  # type: ignore[misc]
        for receiver in (told, other, plain):
            assert receiver.messages == [("a", b"%d" % i) for i in range(6)]
            assert {lost for _, lost in receiver.gaps} <= {None}


async def test_headers_that_are_no_streams(jetstream: JetStream) -> None:
    async with started(jetstream.url, "a", history=TEN) as (broker, told):
        bad = [{"Nats-Stream": STREAM, "Nats-Sequence": "x", "Nats-Last-Sequence": "1"}]
        bad += [{"Nats-Stream": STREAM, "Nats-Sequence": "²", "Nats-Last-Sequence": "1"}]
        bad += [{"Nats-Stream": STREAM, "Nats-Sequence": "9" * 30, "Nats-Last-Sequence": "1"}]
        bad += [{"Nats-Stream": STREAM, "Nats-Sequence": "1"}, {"other": "1"}]
        for headers in bad:
            await jetstream.put("a", b"x", headers)
        await until(lambda: len(told.foreign) == len(bad))
        await publish(broker, b"0")
        await told.have(("a", b"0"))


# A cluster.


def cluster(ends: ExitStack) -> dict[str, JetStream]:
    """Starts three servers; gives them by their names."""
    ports = free_ports(3)
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers = {}
    for port in ports:
        options = ["--name", f"n{port}", "--cluster_name", "fastws", "--routes", routes]
        options += ["--cluster", f"nats://127.0.0.1:{port}"]
        servers[f"n{port}"] = JetStream(ends, *options)
    for server in servers.values():
        server.start()
    return servers


async def taken(broker: Broker, payload: bytes, name: str) -> Receipt:
    """Publishes until it is acknowledged, by whichever server leads now."""
    async with patience(PATIENCE, lambda: "no server takes it"):
        while True:
            with suppress(BrokerUnavailable):
                return await broker.publish("a", payload, name)
            await nap()


@pytest.mark.deep
async def test_replicas_go_on_when_their_leader_is_gone(ends: ExitStack) -> None:
    servers = cluster(ends)
    some, *_ = servers.values()
    url = "nats://" + ",".join(s.url.removeprefix("nats://") for s in servers.values())
    async with started(url, "a", history=TEN, broker_timeout=TIMEOUT) as (broker, _):
        first = (await taken(broker, b"0", "0")).position
        assert first is not None
        config = (await some.call(f"STREAM.INFO.{STREAM}"))["config"]
        await some.call(f"STREAM.UPDATE.{STREAM}", **{**config, "num_replicas": 3})
        info = await some.until(f"STREAM.INFO.{STREAM}", replicated)
        await taken(broker, b"1", "1")
        servers[info["cluster"]["leader"]].kill()
        third = await taken(broker, b"2", "2")
        assert await taken(broker, b"2", "2") == third._replace(duplicate=True)
        async with patience(PATIENCE, lambda: "nobody answers"):
            while True:
                with suppress(BrokerUnavailable):
                    assert await missed(broker, first) == [b"1", b"2"]
                    break
                await nap()


def replicated(info: dict[str, Any]) -> bool:
    replicas = info.get("cluster", {}).get("replicas", [])
    return len(replicas) == 2 and all(replica["current"] for replica in replicas)
