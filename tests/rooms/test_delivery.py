"""The last step of a message: who is closed, and what others get meanwhile."""

from typing import Any

import pytest

from fastws.limits import Limits
from fastws.rooms import Member, Rooms
from fastws.rooms.outbox import ITEM_COST
from tests.rooms.serving import turns
from tests.rooms.test_member import Wire

LARGE = "x" * 10 * ITEM_COST


def publish_now(rooms: Rooms, message: str) -> None:
    """Publish as an app may from a callback, which cannot wait."""
    with pytest.raises(StopIteration):
        rooms.publish("room", message).send(None)


class Crowd:
    """Members that are behind, and one that is not.

    Attributes:
        slow: members with an outbox of so many times `ITEM_COST`, by default too small for `LARGE`.
        closed: the slow members that were closed, in their order.
        during: called whenever one is closed.
    """

    def __init__(self, *sizes: int) -> None:
        self.rooms = Rooms()
        self.closed: list[Member] = []
        self.during: Any = lambda: None
        self.slow = [self._slow_member(size * ITEM_COST) for size in sizes or (10, 10, 10)]
        self.reading = Wire()
        self.rooms.join(Member(self.reading), "room")

    def _slow_member(self, size: int) -> Member:
        wire = Wire()
        wire.open.clear()

        def close(code: int, reason: str) -> None:
            assert (code, reason) == (1008, "slow consumer")
            self.closed.append(member)
            self.during()

        member = Member(wire, limits=Limits(max_outbox_size=size), close=close)
        self.rooms.join(member, "room")
        return member

    async def fall_behind(self) -> None:
        """Send the slow members something that they do not read."""
        await self.rooms.publish("room", "first")
        await turns()
        await self.rooms.publish("room", "second")
        await turns()

    def waiting(self) -> list[int]:
        """Return how many messages wait for each slow member that is not closed."""
        return [len(member.outbox or ()) for member in self.slow if member not in self.closed]


async def test_a_member_about_to_be_closed_gets_nothing_more() -> None:
    """A message that fits, after one that did not: there would be a hole between."""
    crowd = Crowd()
    await crowd.fall_behind()
    seen: list[list[int]] = []

    def during() -> None:
        publish_now(crowd.rooms, "late")
        seen.append(crowd.waiting())

    crowd.during = during
    await crowd.rooms.publish("room", LARGE)
    assert seen == [[1, 1], [1], []]
    assert crowd.closed == crowd.slow
    counted = crowd.rooms.counters
    assert (counted.disconnected, counted.undelivered) == (3, 3)
    await turns()
    assert crowd.reading.sent == ["first", "second", LARGE, "late", "late", "late"]
    assert crowd.rooms.count("room") == 1


async def test_members_are_closed_once_and_one_after_the_other() -> None:
    """The last one becomes too slow only as the others are closed."""
    crowd = Crowd(10, 10, 25)
    await crowd.fall_behind()
    depth = deepest = 0

    def during() -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        publish_now(crowd.rooms, LARGE)
        depth -= 1

    crowd.during = during
    await crowd.rooms.publish("room", LARGE)
    assert (crowd.closed, deepest, depth) == (crowd.slow, 1, 0)
    assert crowd.rooms.counters.disconnected == 3


async def test_a_member_that_ended_meanwhile_is_not_closed() -> None:
    crowd = Crowd()
    await crowd.fall_behind()
    crowd.during = crowd.slow[1].end
    await crowd.rooms.publish("room", LARGE)
    assert crowd.closed == [crowd.slow[0], crowd.slow[2]]
    assert crowd.rooms.counters.disconnected == 2


async def test_a_close_that_fails_closes_the_others_with_the_next_message() -> None:
    crowd = Crowd()
    await crowd.fall_behind()

    def fail() -> None:
        raise ZeroDivisionError

    crowd.during = fail
    with pytest.raises(ZeroDivisionError):
        await crowd.rooms.publish("room", LARGE)
    crowd.during = lambda: None
    await crowd.rooms.publish("room", LARGE)
    assert crowd.closed == crowd.slow
