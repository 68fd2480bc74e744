"""A real Redis Cluster: three primaries, of which one has a replica."""

import asyncio
import random
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from redis.crc import key_slot

from fastws.errors import BrokerUnavailable
from fastws.rooms import broker_at
from fastws.rooms.brokers import Broker, History
from fastws.testing.waiting import nap, patience
from tests.ports import free_ports
from tests.processes import PATIENCE
from tests.rooms.brokers.engines import RedisServer
from tests.rooms.brokers.told import Told, made, started
from tests.server.serving import until

pytestmark = pytest.mark.deep

KEPT = History(5, 60)
SLOTS = [(0, 5460), (5461, 10922), (10923, 16383)]


class Node(RedisServer):
    """One node, at a port of its own."""

    def __init__(self, ends: ExitStack, port: int) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
        # The bus is where `free_ports` has looked as well.
        super().__init__(ends, "--port", str(port), *options, "--repl-diskless-sync-delay", "0")
        self.port = port

    async def id(self) -> str:
        answer: bytes = await self.call("CLUSTER", "MYID")
        return answer.decode()

    async def says(self, command: str, what: str) -> None:
        """Waits until that is in what CLUSTER says."""
        async with patience(PATIENCE, lambda: f"{what} is not in {answer!r}"):
            while what not in (answer := await self.call("CLUSTER", command)).decode():
                await nap()


class Cluster:
    """Some nodes.

    Attributes:
        primaries: each has about a third of the slots.
        replica: of the first one.
    """

    def __init__(self, ends: ExitStack) -> None:
        *self.primaries, self.replica = (Node(ends, port) for port in free_ports(4))
        self.nodes = [*self.primaries, self.replica]
        self.url = (
            f"redis+cluster://127.0.0.1:{self.replica.port},127.0.0.1:{self.primaries[1].port}"
        )
        for node in self.nodes:
            node.start()

    async def form(self) -> None:
        """Makes a cluster of them."""
        for i, (node, slots) in enumerate(zip(self.primaries, SLOTS, strict=True), 1):
            await node.call("CLUSTER", "ADDSLOTSRANGE", *slots)
            await node.call("CLUSTER", "SET-CONFIG-EPOCH", i)
        first = self.primaries[0]
        for node in self.nodes[1:]:
            await first.call("CLUSTER", "MEET", "127.0.0.1", node.port)
        for node in self.nodes:
            await node.says("INFO", "cluster_known_nodes:4")
        await self.replica.call("CLUSTER", "REPLICATE", await first.id())
        for node in self.nodes:
            await node.says("INFO", "cluster_state:ok")
            await node.says("NODES", f"slave {await first.id()}")
        assert self.replica.process is not None
        self.replica.process.wait_for("sync: Finished with success")

    def home_of(self, channel: str) -> Node:
        slot = key_slot(f"fastws:{channel}".encode())
        return next(
            n for n, (low, high) in zip(self.primaries, SLOTS, strict=True) if low <= slot <= high
        )

    async def move(self, channel: str, target: Node) -> None:
        """Moves the slot of a channel, with all that is there."""
        slot, source = key_slot(f"fastws:{channel}".encode()), self.home_of(channel)
        await target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", await source.id())
        await source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", await target.id())
        keys = await source.call("CLUSTER", "GETKEYSINSLOT", slot, 100)
        if keys:
            await source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self.primaries):
            await node.call("CLUSTER", "SETSLOT", slot, "NODE", await target.id())


@pytest.fixture(scope="module")
def standing() -> Iterator[Cluster]:
    """A cluster to which nothing happens."""
    with ExitStack() as ends:
        cluster = Cluster(ends)
        asyncio.run(cluster.form())
        yield cluster


@pytest.fixture
def falling(ends: ExitStack) -> Cluster:
    """One of a test's own."""
    cluster = Cluster(ends)
    asyncio.run(cluster.form())
    return cluster


def apart(cluster: Cluster) -> str:
    """Gives its URL, with names that nobody has had before."""
    return f"{cluster.url}?prefix={secrets.token_hex(4)}"


def names(cluster: Cluster, count: int = 1) -> list[str]:
    """Gives names of channels, as many at each primary."""
    by_node: dict[Node, list[str]] = {node: [] for node in cluster.primaries}
    for i in range(1000):
        by_node[cluster.home_of(str(i))].append(str(i))
    return [name for some in by_node.values() for name in some[:count]]


async def work(broker: Broker, told: Told, channels: list[str]) -> None:
    """Publishes to each until it arrives."""
    async with patience(PATIENCE, lambda: "it does not work"):
        for channel in channels:
            told.messages.clear()
            while not told.messages:
                with suppress(BrokerUnavailable):
                    await broker.publish(channel, b"well")
                await nap()
            assert {(c, payload) for c, payload, *_ in told.messages} == {(channel, b"well")}
    told.messages.clear()


async def test_each_channel_in_its_order(standing: Cluster) -> None:
    channels, url = names(standing, 4), apart(standing)
    async with (
        started(url, *channels) as (one, told),
        started(url, *channels[::2]) as (_, other),
    ):
        expected = [(channel, b"%d" % i) for i in range(50) for channel in channels]
        await asyncio.gather(*(one.publish(*message) for message in expected))
        await until(lambda: len(told.messages) == len(expected))
        await until(lambda: len(other.messages) == len(expected) / 2)
        for receiver in (told, other):
            for channel in channels[::2]:
                payloads = [m[1] for m in receiver.messages if m[0] == channel]
                assert payloads == [b"%d" % i for i in range(50)]
        assert told.gaps == other.gaps == []


@pytest.mark.parametrize(
    "name", ["", "{a}b", "{b}a", "a}b{", "{}", "%7Ba%7D", "a b", "é" * 100, "\0p"]
)
async def test_names_are_apart(standing: Cluster, name: str) -> None:
    others = ["x", "{a}", "{b}", "%7B", "a", "b", "ab"]
    async with started(apart(standing), name, *others) as (broker, told):
        await broker.publish(name, b"1")
        await until(lambda: told.messages)
        for other in others:
            await broker.publish(other, b"2")
        await until(lambda: len(told.messages) == 1 + len(others))
        assert [m[0] for m in told.messages if m[1] == b"1"] == [name]
    if name[:1] not in ("", "\0"):
        async with started(apart(standing), name, history=KEPT) as (broker, _):
            first = await broker.publish(name, b"1", "id")
            assert (await broker.publish(name, b"1", "id")) == (first.position, True)
            assert first.position is not None
            before = first.position._replace(number=first.position.number - 1)
            past = await broker.past(name, before)
            assert past.recovered
            assert [kept.payload for kept in past.messages] == [b"1"]


async def test_what_is_kept_is_asked_for_together(standing: Cluster) -> None:
    channels = names(standing, 3)
    async with started(apart(standing), history=KEPT) as (broker, _):
        for payload in (b"1", b"2", b"3"):
            receipts = await asyncio.gather(*(broker.publish(c, payload) for c in channels))
        assert {r.position and r.position.number for r in receipts} == {3}
        since = [r.position and r.position._replace(number=1) for r in receipts]
        every = [broker.past(*one) for one in zip(channels, since, strict=True)]
        for past in await asyncio.gather(*every):
            assert past.recovered
            assert [kept.payload for kept in past.messages] == [b"2", b"3"]


async def test_a_channel_is_left_again(standing: Cluster) -> None:
    channels = names(standing, 2)
    async with started(apart(standing), *channels) as (broker, told):
        for channel in channels[1:]:
            broker.unsubscribe(channel)
        for channel in channels:
            await broker.publish(channel, b"1")
        await until(lambda: told.messages)
        for channel in channels:
            broker.subscribe(channel)
        await broker.settled()
        for channel in channels:
            await broker.publish(channel, b"2")
        await until(lambda: len(told.messages) == 1 + len(channels))
        assert broker.connected
        assert told.gaps == []


async def test_a_slot_moves(falling: Cluster) -> None:
    channels = names(falling, 2)
    async with (
        started(falling.url, *channels, history=KEPT) as (broker, told),
        started(falling.url) as (publisher, _),
    ):
        await work(broker, told, channels)
        receipt = await broker.publish(channels[0], b"well")
        assert told.gaps == []
        await falling.move(channels[0], falling.primaries[2])
        # Nobody publishes: the node itself tells that the channel is not there any more.
        await until(lambda: told.gaps)
        await work(broker, told, channels)
        # Once or twice: the node that is asked where things are may learn it late.
        assert set(told.gaps) == {(channel, None) for channel in channels}
        # What it had counted was another's: nobody can tell what is missing.
        assert not (await broker.past(channels[0], receipt.position)).recovered
        # And this one learns it when it publishes.
        async with patience(PATIENCE, lambda: "it is not taken"):
            while not told.messages:
                with suppress(BrokerUnavailable):
                    await publisher.publish(channels[0], b"well")
                await nap()


async def test_a_primary_dies(falling: Cluster) -> None:
    channels = names(falling)
    async with started(falling.url, *channels) as (broker, told):
        await work(broker, told, channels)
        falling.primaries[0].kill()
        await until(lambda: not broker.connected)
        with pytest.raises(BrokerUnavailable, match="is out of reach"):
            await broker.publish(channels[0], b"in vain")
        await work(broker, told, channels)
        assert set(told.gaps) == {(channel, None) for channel in channels}


async def test_a_primary_is_paused(falling: Cluster) -> None:
    channels = names(falling)
    async with started(falling.url, *channels, broker_timeout=2) as (broker, told):
        await work(broker, told, channels)
        falling.primaries[1].pause()
        await until(lambda: not broker.connected)
        falling.primaries[1].resume()
        await work(broker, told, channels)


@pytest.mark.parametrize("seed", range(10))
async def test_stopping_during_everything(standing: Cluster, seed: int) -> None:
    choose = random.Random(seed)
    broker, told = made(apart(standing))
    before = asyncio.all_tasks()

    async def publish() -> None:
        with suppress(BrokerUnavailable):
            while True:
                await broker.publish(str(choose.randrange(9)), b"x" * choose.randrange(9999))

    for i in range(5):
        broker.subscribe(str(i))
    starting = asyncio.create_task(broker.start())
    for _ in range(choose.randrange(60)):
        await asyncio.sleep(0)
    tasks = [asyncio.create_task(publish()) for _ in range(5)]
    for _ in range(choose.randrange(60)):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await broker.stop()
        await asyncio.gather(*tasks)
    starting.cancel()
    count = len(told.messages)
    await until(lambda: asyncio.all_tasks() == before)
    assert len(told.messages) == count


async def test_a_redis_that_is_no_cluster(
    redis: RedisServer, ends: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)
    RedisServer(ends, "--port", str(port)).start()
    async with started(f"redis+cluster://127.0.0.1:{port}") as (broker, _):
        assert not broker.connected
    assert "cluster support disabled" in caplog.text


def test_urls_that_make_no_sense() -> None:
    for url, why in [("redis+cluster://", "needs a host"), ("redis+ring://host", r"not \+ring")]:
        with pytest.raises(ValueError, match=why):
            broker_at(url)
