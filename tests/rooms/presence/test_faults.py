"""What happens to workers, to an engine, and to what they say; and what is known afterwards."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms import Joined, Left
from fastws.rooms.presence.gossip import EVERYWHERE, PREFIX
from fastws.rooms.presence.messages import Alive, Change, Count, State, encode
from tests.processes import Process
from tests.rooms.brokers.engines import Engine
from tests.rooms.presence.workers import Visitor, workers
from tests.server.serving import until

pytestmark = pytest.mark.deep

LEASE = 3.0  # of processes that others on the machine may slow down
ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)


def told(visitor: Visitor, kind: type[Joined] | type[Left]) -> list[str]:
    """Gives the ids of those who have come, or gone, as somebody has been told."""
    return [event.id for event in visitor.events if isinstance(event, kind)]


# Workers.


@asynccontextmanager
async def process(url: str, count: int) -> AsyncIterator[tuple[Process, list[str]]]:
    """Runs a worker of its own; gives the ids of those who are in its room."""
    argv = ("-m", "tests.rooms.presence.program", url, str(LEASE), str(count))
    worker = Process(sys.executable, *argv)
    try:
        found = await asyncio.to_thread(worker.wait_for, r"there are (.*)\n")
        yield worker, found[1].split()
    finally:
        worker.kill()


@ONE_LOOP
async def test_a_worker_that_is_killed_is_gone_with_its_members(engine: Engine) -> None:
    async with workers(engine.url, 1, presence_lease=LEASE) as [here]:
        ada = here.enter()
        await here.sees(ada)
        async with process(engine.url, 5) as (worker, ids):
            await until(lambda: sorted(told(ada, Joined)) == sorted(ids))
            os.kill(worker.pid, signal.SIGKILL)
            await until(lambda: sorted(told(ada, Left)) == sorted(ids))
        await here.sees(ada)
        assert here.rooms.counters.expired == 1


@ONE_LOOP
async def test_a_worker_that_stands_still_is_gone_until_it_goes_on(engine: Engine) -> None:
    async with workers(engine.url, 1, presence_lease=LEASE) as [here]:
        ada = here.enter()
        await here.sees(ada)
        async with process(engine.url, 3) as (worker, ids):
            await until(lambda: len(told(ada, Joined)) == 3)
            os.kill(worker.pid, signal.SIGSTOP)
            await until(lambda: sorted(told(ada, Left)) == sorted(ids))
            bob = here.enter()
            await here.sees(ada, bob)
            os.kill(worker.pid, signal.SIGCONT)
            await until(lambda: len(told(ada, Joined)) == 3 + 1 + 3)
            assert sorted(told(ada, Joined)[4:]) == sorted(ids)
            # It has not taken the others for gone, and learns who has come meanwhile.
            await asyncio.to_thread(worker.wait_for, f'"Joined".*"{bob.id}"')
            assert '"Left"' not in worker.output
            assert await asyncio.to_thread(worker.stop) == 0
            await here.sees(ada, bob)
        assert here.rooms.counters.expired == 1


async def test_a_worker_that_stops_says_so(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada = here.enter()
        await here.sees(ada)
        bob = there.enter()
        await until(lambda: told(ada, Joined) == [bob.id])
        await there.rooms.stop()
        await until(lambda: told(ada, Left) == [bob.id])
        await here.sees(ada)
        assert here.rooms.counters.expired == 0
        # And may start again, as another.
        await there.rooms.start()
        await until(lambda: told(ada, Joined) == [bob.id] * 2)
        for worker in (here, there):
            await worker.sees(ada, bob)


# The engine.


@ONE_LOOP
async def test_an_engine_that_is_restarted(engine: Engine) -> None:
    """However long it was away, nobody is taken for gone who is there."""
    async with workers(engine.url, 2, presence_lease=LEASE) as [here, there]:
        ada = here.enter()
        await here.sees(ada)
        bob, eve = there.enter(), there.enter()
        await until(lambda: told(ada, Joined) == [bob.id, eve.id])
        engine.kill()
        await until(lambda: not here.broker.connected and not there.broker.connected)
        with pytest.raises(BrokerUnavailable, match="while the engine is not there"):
            await here.rooms.presence("room")
        await asyncio.sleep(1.3 * LEASE)
        eve.member.end()
        kim = there.enter(data="Kim")
        engine.start()
        for worker in (here, there):
            await worker.sees(ada, bob, kim)
        assert (told(ada, Left), told(ada, Joined)) == ([eve.id], [bob.id, eve.id, kim.id])
        assert here.rooms.counters.expired == there.rooms.counters.expired == 0


async def test_an_engine_that_stands_still(engine: Engine) -> None:
    async with workers(engine.url, 2, broker_timeout=60.0) as [here, there]:
        ada = here.enter()
        await here.sees(ada)
        bob = there.enter()
        await until(lambda: told(ada, Joined) == [bob.id])
        engine.pause()
        await asyncio.sleep(2 * here.limits.presence_lease)
        kim = there.enter()
        engine.resume()
        await until(lambda: told(ada, Joined) == [bob.id, kim.id])
        assert told(ada, Left) == []
        assert here.rooms.counters.expired == there.rooms.counters.expired == 0


async def test_connections_that_are_cut(engine: Engine) -> None:
    async with workers(engine.url, 2, presence_lease=LEASE) as [here, there]:
        ada = here.enter()
        await here.sees(ada)
        known = [ada]
        for _ in range(3):
            known.append(there.enter())
            await engine.cut()
            known.append(there.enter())
            for worker in (here, there):
                await worker.sees(*known)
        assert told(ada, Left) == []
        assert sorted(told(ada, Joined)) == sorted(each.id for each in known[1:])


async def test_who_is_asked_about_where_nobody_is_while_the_engine_is_away(engine: Engine) -> None:
    engine.kill()
    async with workers(engine.url, 2, broker_timeout=0.5) as [here, there]:
        ada = there.enter()
        with pytest.raises(BrokerUnavailable):
            await here.rooms.presence_count("room")
        engine.start()
        await here.sees(ada)


# What somebody else says.


def numbered(message: Any) -> bytes:
    """Writes something as a broker does: it is the payload that is wrong."""
    payload = message if isinstance(message, bytes) else encode(message)
    return b"1 epoch 1 " + payload


ENTRY = msgspec.Raw(b'[["stranger"]]')
BAD: list[Any] = [
    b"",
    b"\xff",
    b"null",
    b"{}",
    b"[]",
    b"[" * 100_000,
    b'["Alive"]',
    b'["Alive","w",-1,{}]',
    b'["Alive","",1,{}]',
    b'["Other","w"]',
    b'["Ask","w","",[""]]',
    b'["Ask","w","",["%b"]]' % (b"x" * 201),
    b'["Change","w",0,1,{}]',
    b'["Change","w",0,1,[[1]]]',
    b'["State","w",1,true,true,[["\\ud800"]]]',
    b'["Count","w",1,-1]',
]


@pytest.mark.parametrize("channel", [EVERYWHERE, PREFIX + "room", PREFIX + "count/1"])
async def test_what_makes_no_sense_is_counted(engine: Engine, channel: str) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        here.enter("count/1")
        await here.sees(ada, bob)
        await here.counts(1, "count/1")
        for bad in BAD:
            await engine.put(channel, numbered(bad))
        await engine.put(channel, b"no number")
        await until(lambda: here.rooms.counters.foreign == len(BAD) + 1)
        await here.sees(ada, bob)
        await here.counts(1, "count/1")


async def test_a_stranger_is_gone_after_a_lease(engine: Engine) -> None:
    """Whoever says something of members, and not that it is alive."""
    async with workers(engine.url, 1) as [here]:
        ada = here.enter()
        here.enter("count/1")
        await here.sees(ada)
        await here.counts(1, "count/1")
        said = [
            (PREFIX + "room", Change("w1", 0, 1, ENTRY)),
            (PREFIX + "room", Change("w2", 3, 4, ENTRY)),
            (PREFIX + "room", State("w3", 1, True, False, ENTRY)),
            (PREFIX + "room", State("w4", 1, False, True, ENTRY)),
            (PREFIX + "room", Count("w5", 1, 10**6)),
            (PREFIX + "count/1", Count("w6", 1, 10**6)),
            (PREFIX + "count/1", Change("w7", 0, 1, ENTRY)),
            (EVERYWHERE, Alive("w8", 10**9, {"room": {"w9": 3}, "other": {}})),
        ]
        for channel, message in said:
            await engine.put(channel, numbered(message))
        await until(lambda: told(ada, Joined) == ["stranger"])
        await until(lambda: told(ada, Left) == ["stranger"])
        await here.sees(ada)
        await here.counts(1, "count/1")
        assert here.rooms.counters.foreign == 2
        await until(lambda: here.rooms._presence._gossip._peers._peers == {})  # type: ignore[union-attr]
