"""What is published while a member comes back: bounded in number and bytes, or asked for again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastws.limits import Limits
from fastws.rooms import History, Member, Rooms
from fastws.rooms.brokers import Past, Position
from fastws.rooms.outbox import ITEM_COST
from fastws.rooms.resuming import CatchUp
from tests.rooms.serving import turns
from tests.rooms.test_member import Wire
from tests.rooms.test_resuming import START, Slow

KEEP = {"": History(count=1000, ttl=60)}
# Bytes of an envelope besides the text in it, which is longer than 255 bytes.
AROUND = 6


class Counting(Slow):
    """A broker that counts how often it is asked for the past."""

    asked = 0

    async def past(self, channel: str, since: Position | None) -> Past:
        self.asked += 1
        return await super().past(channel, since)


class Coming:
    """A member on its way into the room "a".

    Attributes:
        rooms: where to.
        broker: cleared `answers`, it has been asked once, and has not answered.
        wire: what the member gets.
    """

    def __init__(self, limits: Limits) -> None:
        self.broker = Counting()
        self.rooms = Rooms(self.broker, KEEP)
        self.wire = Wire()
        self.member = Member(self.wire, limits=limits)

    @property
    def catching(self) -> CatchUp:
        ((catching,),) = self.rooms._catching.values()
        return catching

    async def publish(self, *sizes: int) -> None:
        """Publish messages that cost so many bytes each, and bring them."""
        for size in sizes:
            await self.rooms.publish("a", "x" * (size - AROUND - ITEM_COST))
        self.broker.bring()

    def sizes(self) -> list[int]:
        """Return what the messages that have come cost."""
        return [len(text) + AROUND + ITEM_COST for text in self.wire.sent]


@asynccontextmanager
async def coming(**limits: Any) -> AsyncIterator[Coming]:
    """Let a member begin to come back, and wait until all of it has come."""
    came = Coming(Limits(**limits))
    came.broker.answers.clear()
    task = asyncio.create_task(came.rooms.resume(came.member, START))
    await turns(3)
    assert came.broker.asked == 1
    yield came
    came.broker.answers.set()
    came.wire.open.set()
    await task


@pytest.mark.parametrize(
    ("limits", "sizes", "asked"),
    [
        ({"max_outbox_size": 2000}, [1000, 1000], 1),
        ({"max_outbox_size": 2000}, [1000, 1001], 2),
        ({"max_outbox_size": 2000}, [2001], 2),
        ({"max_outbox_size": 2000}, [600] * 100, 2),
        ({"max_outbox_messages": 3}, [600] * 3, 1),
        ({"max_outbox_messages": 3}, [600] * 4, 2),
        ({"max_outbox_messages": None, "max_outbox_size": None}, [600] * 900, 1),
        ({"max_outbox_messages": None, "max_outbox_size": 2000}, [600] * 4, 2),
        ({"max_outbox_messages": 3, "max_outbox_size": None}, [600] * 4, 2),
    ],
)
async def test_what_waits_is_bounded(limits: dict[str, Any], sizes: list[int], asked: int) -> None:
    async with coming(**limits) as came:
        for i, size in enumerate(sizes):
            await came.publish(size)
            kept = list(came.catching._waiting)
            assert len(kept) in (0, i + 1)
            assert sum(len(payload) + ITEM_COST for payload, _ in kept) == came.catching._size
        assert bool(came.catching._waiting) is (asked == 1)
    assert (came.sizes(), came.broker.asked) == (sizes, asked)


async def test_what_was_sent_waits_no_more() -> None:
    async with coming(max_outbox_size=2000) as came:
        await came.publish(1000, 1000)
        came.wire.open.clear()
        came.broker.answers.set()
        await turns(5)
        # One is on its way.
        await came.publish(1000)
        assert len(came.catching._waiting) == 2
        came.wire.open.set()
        await turns(1)
    assert (came.sizes(), came.broker.asked) == ([1000] * 3, 1)


async def test_after_what_was_asked_again_there_is_room_again() -> None:
    async with coming(max_outbox_size=2000) as came:
        await came.publish(1000, 1000, 1000)
        assert came.catching._size == 0
        came.wire.open.clear()
        came.broker.answers.set()
        await turns(5)
        assert came.broker.asked == 2
        await came.publish(1000, 1000)
        assert len(came.catching._waiting) == 2
    assert (came.sizes(), came.broker.asked) == ([1000] * 5, 2)


async def test_while_something_is_missed_nothing_waits() -> None:
    """What comes behind a hole would come twice."""
    async with coming(max_outbox_size=2000) as came:
        await came.publish(600)
        came.rooms.on_gap("a", 1)
        await came.publish(600, 600)
        assert len(came.catching._waiting) == 0
    assert (came.sizes(), came.broker.asked) == ([600] * 3, 2)
