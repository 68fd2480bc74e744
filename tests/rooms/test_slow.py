"""Members that do not keep up: nobody waits for them, they hold little, and all is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastws.limits import KIB, Limits
from fastws.rooms import Member
from fastws.rooms.outbox import ITEM_COST
from tests.rooms.serving import Hall, all_payloads, crowd, hall, payloads, turns
from tests.server.peer import Peer, close
from tests.server.serving import until

# "hidden" is our server, of which members do not know.
KINDS = ["fastws", "hidden", "uvicorn"]
SIZE = 4 * KIB
LIMITS = Limits(max_outbox_messages=20, max_outbox_size=None)

pytestmark = pytest.mark.parametrize("kind", KINDS)


def number(i: int) -> bytes:
    return b"%08d" % i * (SIZE // 8)


def numbers(messages: list[bytes]) -> list[int]:
    found = [int(message[:8]) for message in messages]
    assert messages == [number(i) for i in found]
    return found


@asynccontextmanager
async def slow(
    kind: str, limits: Limits = LIMITS, **options: Any
) -> AsyncIterator[tuple[Hall, Peer, Member]]:
    """Gives a hall with one member that does not read, and whose outbox is in use."""
    async with hall(kind, limits=limits, **options) as app, app.enter_slowly() as (peer, member):
        yield app, peer, member


async def publish(app: Hall, count: int, **options: Any) -> int:
    """Publishes the next messages; gives the number of all so far."""
    first = app.rooms.counters.published
    for i in range(first, first + count):
        await app.rooms.publish("room", number(i), **options)
        # As the loop does between messages of different origin; who waits may run.
        await turns(2)
    return first + count


async def fill(app: Hall, member: Member) -> int:
    """Publishes until the member is behind."""
    total = 0
    while member.outbox is None or not member.outbox:
        total = await publish(app, 1)
        assert total < 5000
    return total


def check(app: Hall) -> None:
    """Checks that each delivery has ended somewhere."""
    counted = app.rooms.counters
    waiting = sum(len(m.outbox or ()) for m in app.members)
    assert counted.queued >= (
        waiting + counted.dropped + counted.conflated + counted.undelivered + counted.disconnected
    )


async def test_disconnect(kind: str) -> None:
    async with slow(kind) as (app, peer, member), crowd(app, 2) as others:
        total = await fill(app, member)
        total = await publish(app, 40)
        assert member.ended
        assert not member.rooms
        assert member.outbox is None
        counted = app.rooms.counters
        # Elsewhere one more is on its way: the server has not taken it yet.
        on_its_way = kind != "fastws"
        assert (counted.disconnected, counted.undelivered) == (1, 20 + on_its_way)
        for other in others:
            assert numbers(await payloads(other, total)) == list(range(total))
        messages, closing = await all_payloads(peer)
        assert closing == (1008, "slow consumer")
        # What has reached the connection is whole, and in order.
        found = numbers(messages)
        assert found == list(range(len(found)))
        assert len(found) < total - 20


async def test_drop_oldest(kind: str) -> None:
    async with slow(kind, policy="drop-oldest") as (app, peer, member), crowd(app, 1) as (other,):
        await fill(app, member)
        total = await publish(app, 50)
        assert member.outbox is not None
        assert len(member.outbox) == 20
        assert app.rooms.counters.dropped > 0
        dropped = app.rooms.counters.dropped
        found = numbers(await payloads(peer, total - dropped))
        assert found == [*range(total - 20 - dropped), *range(total - 20, total)]
        assert numbers(await payloads(other, total)) == list(range(total))
        await until(lambda: member.outbox is None)
        # It has caught up.
        await publish(app, 1)
        assert numbers(await payloads(peer, 1)) == [total]


async def test_drop_newest(kind: str) -> None:
    async with slow(kind, policy="drop-newest") as (app, peer, member):
        await fill(app, member)
        total = await publish(app, 50)
        kept = total - app.rooms.counters.dropped
        assert kept < total
        assert numbers(await payloads(peer, kept)) == list(range(kept))
        await until(lambda: member.outbox is None)
        await publish(app, 1)
        assert numbers(await payloads(peer, 1)) == [total]


async def test_latest_by_key(kind: str) -> None:
    async with slow(kind, policy="latest-by-key") as (app, peer, member):
        total = await fill(app, member)
        for _ in range(10):
            for key in ("a", "b", "c"):
                total = await publish(app, 1, key=key)
        assert member.outbox is not None
        waiting = len(member.outbox)
        counted = app.rooms.counters
        assert counted.conflated == 27
        assert waiting >= 3
        found = numbers(await payloads(peer, total - 27))
        assert found[-3:] == [total - 3, total - 2, total - 1]
        assert found == sorted(found)


async def test_latest_by_key_is_bounded_too(kind: str) -> None:
    async with slow(kind, policy="latest-by-key") as (app, _, member):
        await fill(app, member)
        for i in range(30):
            await publish(app, 1, key=str(i))
        assert member.ended
        assert app.rooms.counters.disconnected == 1


async def test_the_bytes_are_bounded(kind: str) -> None:
    limits = Limits(max_outbox_messages=None, max_outbox_size=10 * (SIZE + ITEM_COST))
    async with slow(kind, limits, policy="drop-oldest") as (app, _, member):
        await fill(app, member)
        await publish(app, 50)
        assert member.outbox is not None
        assert len(member.outbox) == 10
        assert member.outbox.size == limits.max_outbox_size


async def test_who_reads_again_gets_all_that_was_kept(kind: str) -> None:
    limits = Limits(max_outbox_messages=None, max_outbox_size=None)
    async with slow(kind, limits) as (app, peer, member):
        await fill(app, member)
        total = await publish(app, 300)
        assert numbers(await payloads(peer, total)) == list(range(total))
        await until(lambda: member.outbox is None)
        assert app.rooms.counters.undelivered == 0
        await publish(app, 3)
        assert numbers(await payloads(peer, 3)) == list(range(total, total + 3))


async def test_who_reads_now_and_then_gets_all_in_order(kind: str) -> None:
    """In and out of being behind, with own messages in between."""
    limits = Limits(max_outbox_messages=None, max_outbox_size=None)
    async with slow(kind, limits) as (app, peer, member):
        expected = []

        async def talk() -> None:
            for i in range(100):
                await member.send({"type": "websocket.send", "text": f"own {i}"})
                own.append(i)
                await asyncio.sleep(0)

        own: list[int] = []
        talking = asyncio.create_task(talk())
        for i in range(600):
            await publish(app, 1)
            expected.append(i)
            if i % 7 == 0:
                await peer.fill()
        found: list[bytes] = []
        while len(found) < 700:
            found.append((await peer.frame()).payload)
        await talking
        assert [m for m in found if m.startswith(b"own")] == [f"own {i}".encode() for i in own]
        assert numbers([m for m in found if not m.startswith(b"own")]) == expected
        await until(lambda: member.outbox is None)


async def test_an_own_message_keeps_its_place_among_those_that_wait(kind: str) -> None:
    limits = Limits(max_outbox_messages=None, max_outbox_size=None)
    async with slow(kind, limits) as (app, peer, member):
        await fill(app, member)
        before = await publish(app, 3)
        first = asyncio.create_task(member.send({"type": "websocket.send", "text": "one"}))
        second = asyncio.create_task(member.send({"type": "websocket.send", "text": "two"}))
        await turns()
        assert not first.done()
        await publish(app, 2)
        third = asyncio.create_task(member.send({"type": "websocket.send", "text": "three"}))
        await turns()
        second.cancel()
        messages = await payloads(peer, before + 4)
        assert messages[before] == b"one"
        assert numbers(messages[before + 1 : before + 3]) == [before, before + 1]
        assert messages[before + 3] == b"three"
        await asyncio.gather(first, third)
        await until(lambda: member.outbox is None)


async def test_an_own_message_is_never_dropped(kind: str) -> None:
    async with slow(kind, policy="drop-oldest") as (app, peer, member):
        await fill(app, member)
        await publish(app, 5)
        own = asyncio.create_task(member.send({"type": "websocket.send", "text": "own"}))
        await turns()
        total = await publish(app, 60)
        found = await payloads(peer, total - app.rooms.counters.dropped + 1)
        await own
        at = found.index(b"own")
        # Those before it were dropped: it is ahead of all that came after it.
        assert numbers(found[at + 1 :]) == list(range(total - 20, total))


async def test_own_messages_end_with_the_connection(kind: str) -> None:
    async with slow(kind) as (app, peer, member):
        await fill(app, member)
        own = [
            asyncio.create_task(member.send({"type": "websocket.send", "text": "x"}))
            for _ in range(3)
        ]
        await turns()
        peer.reset()
        ends = await asyncio.gather(*own, return_exceptions=True)
        assert all(isinstance(end, (OSError, type(None))) for end in ends)
        assert isinstance(ends[-1], OSError)
        await until(lambda: member.ended)
        assert member.outbox is None
        assert app.rooms.names() == []


@pytest.mark.deep
@pytest.mark.parametrize("way", ["reset", "close", "kick"])
async def test_a_slow_member_can_end_in_any_way(kind: str, way: str) -> None:
    async with slow(kind) as (app, peer, member):
        await fill(app, member)
        if way == "reset":
            peer.reset()
        elif way == "close":
            await peer.send(close(1000))
            peer.finish()
        else:
            member.close(4000, "kicked")
            assert member.ended
        if way != "reset":
            _, closing = await all_payloads(peer)
            assert closing in {(1000, ""), (4000, "kicked"), None}
        await app.server.emptied()
        assert member.ended
        assert member.outbox is None
        assert app.rooms.names() == []
        check(app)
