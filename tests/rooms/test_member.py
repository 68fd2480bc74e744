"""A member on a server without the extension: when its task is there, and how it ends."""

import asyncio
import logging
from typing import Any

import pytest

from fastws.limits import Limits
from fastws.rooms import Counters, Member, Rooms
from tests.rooms.serving import turns

TEXT = "websocket.send"


class Wire:
    """An ASGI ``send`` that waits for as long as it is told to.

    Attributes:
        sent: what has come through.
        open: cleared, everybody waits.
        error: what it raises.
    """

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def __call__(self, event: Any) -> None:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(event.get("text", event.get("bytes", event.get("code"))))


def tasks() -> int:
    """Counts the tasks of members."""
    return sum("Member." in repr(task.get_coro()) for task in asyncio.all_tasks())


async def made(**options: Any) -> tuple[Rooms, Member, Wire]:
    rooms, wire = Rooms(), Wire()
    member = Member(wire, **options)
    rooms.join(member, "room")
    return rooms, member, wire


async def test_the_task_is_there_only_while_something_waits() -> None:
    rooms, member, wire = await made()
    await rooms.publish("room", "one")
    await rooms.publish("room", b"two")
    await turns(2)
    assert wire.sent == ["one", b"two"]
    assert tasks() == 0
    assert member.outbox is None
    wire.open.clear()
    await rooms.publish("room", "three")
    await turns(2)
    assert tasks() == 1
    assert member.outbox is not None
    wire.open.set()
    await turns(3)
    assert tasks() == 0
    assert member.outbox is None
    assert wire.sent == ["one", b"two", "three"]


@pytest.mark.parametrize("error", [ConnectionResetError(), OSError("gone"), ValueError("a bug")])
async def test_what_send_raises_ends_the_member_and_not_who_publishes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rooms, member, wire = await made()
    other = Wire()
    rooms.join(Member(other), "room")
    wire.error = error
    with caplog.at_level(logging.WARNING, "fastws.rooms"):
        await rooms.publish("room", "one")
        await rooms.publish("room", "two")
        await turns(3)
    assert other.sent == ["one", "two"]
    assert member.ended
    assert member not in rooms.members("room")
    assert tasks() == 0
    # A connection that is over is nothing to talk about.
    assert len(caplog.records) == isinstance(error, ValueError)


async def test_it_ends_with_the_connection() -> None:
    rooms, member, wire = await made()
    wire.open.clear()
    for i in range(3):
        await rooms.publish("room", str(i))
    await turns(2)
    member.end()
    member.end()
    await turns(2)
    assert (tasks(), member.outbox, rooms.names()) == (0, None, [])
    assert rooms.counters.undelivered == 3
    assert member.enqueue("late", 4, None, rooms.counters)
    assert member.outbox is None


async def test_closing_sends_a_close_event() -> None:
    rooms, member, wire = await made()
    wire.open.clear()
    await rooms.publish("room", "never sent")
    await turns(2)
    member.close(4000, "kicked")
    wire.open.set()
    await turns(3)
    assert wire.sent == [4000]
    assert tasks() == 0


async def test_who_ends_meanwhile_is_closed_all_the_same() -> None:
    _, member, wire = await made()
    wire.open.clear()
    member.close(4000, "kicked")
    await turns(2)
    member.end()
    wire.open.set()
    await turns(3)
    assert wire.sent == [4000]
    assert tasks() == 0


@pytest.mark.parametrize("error", [OSError(), RuntimeError("closed already")])
async def test_closing_what_is_closed_is_no_fault(error: Exception) -> None:
    _, member, wire = await made()
    wire.error = error
    member.close(1000, "")
    await turns(3)
    assert tasks() == 0


async def test_closing_is_left_to_who_wants_it() -> None:
    closings: list[Any] = []
    limits = Limits(max_outbox_messages=1)
    rooms, member, wire = await made(limits=limits, close=lambda *args: closings.append(args))
    wire.open.clear()
    for _ in range(4):
        await rooms.publish("room", "x")
        await turns(2)
    assert closings == [(1008, "slow consumer")]
    assert member.ended


async def test_who_closes_may_change_the_room_meanwhile() -> None:
    """A full outbox closes one member, and its app may make others leave, or come."""
    rooms = Rooms()
    wire = Wire()
    wire.open.clear()
    members: list[Member] = []

    def close(code: int, reason: str) -> None:
        rooms.leave_all(members[2])
        rooms.join(late, "room")

    late = Member(wire)
    limits = Limits(max_outbox_messages=0)
    for options in ({"limits": limits, "close": close}, {}, {}):
        members.append(Member(wire, **options))  # type: ignore[arg-type]
        rooms.join(members[-1], "room")
    # The first is on its way, whoever reads or not.
    await rooms.publish("room", "x")
    assert rooms.members("room") == members
    await rooms.publish("room", "x")
    assert rooms.members("room") == [members[1], late]
    # It was in the room when this was published.
    assert members[2].outbox is not None
    assert late.outbox is None
    for member in (*members, late):
        member.end()


async def test_an_own_message_waits_for_its_turn_and_a_cancelled_one_gives_it_on() -> None:
    rooms, member, wire = await made()
    wire.open.clear()
    for i in range(2):
        await rooms.publish("room", f"room {i}")
    own = [asyncio.create_task(member.send({"type": TEXT, "text": f"own {i}"})) for i in range(3)]
    await turns(3)
    own[0].cancel()
    await rooms.publish("room", "room 2")
    wire.open.set()
    await turns(2)
    own[1].cancel()  # perhaps in the middle of its turn
    await turns(12)
    await own[2]
    assert [m for m in wire.sent if m.startswith("room")] == ["room 0", "room 1", "room 2"]
    assert wire.sent.index("own 2") < wire.sent.index("room 2")
    assert member.outbox is None
    await member.send({"type": TEXT, "text": "at once"})
    assert wire.sent[-1] == "at once"


async def test_own_messages_meet_what_send_raises() -> None:
    rooms, member, wire = await made()
    wire.open.clear()
    await rooms.publish("room", "x")
    own = [asyncio.create_task(member.send({"type": TEXT, "text": "x"})) for _ in range(2)]
    await turns(2)
    wire.error = ConnectionResetError()
    wire.open.set()
    for task in own:
        with pytest.raises(ConnectionResetError):
            await task
    assert member.ended


async def test_text_counts_its_bytes() -> None:
    rooms, member, wire = await made(limits=Limits(max_outbox_size=256 + 200))
    wire.open.clear()
    await rooms.publish("room", "in the hands of the server")
    await turns(2)
    await rooms.publish("room", "é" * 100)
    assert member.outbox is not None
    assert member.outbox.size == 456
    await rooms.publish("room", "")
    assert member.ended


async def test_counters_are_shared_by_all_members() -> None:
    counters = Counters()
    limits = Limits(max_outbox_messages=0)
    wire = Wire()
    wire.open.clear()
    for member in [Member(wire, policy="drop-newest", limits=limits) for _ in range(2)]:
        # The first is on its way.
        assert member.enqueue("x", 1, None, counters)
        assert member.enqueue("x", 1, None, counters)
    assert counters.dropped == 2
    wire.open.set()
    await turns(3)
    assert wire.sent == ["x", "x"]


class Connection:
    """What a member needs of the server's extension; takes messages unless it is blocked."""

    def __init__(self, sent: list[Any]) -> None:
        self.blocked = True
        self.on_writable: Any = None
        self.sent = sent

    def send_prepared(self, message: Any) -> bool:
        self.sent.append(message)
        return True

    def resume(self) -> None:
        self.blocked = False
        callback, self.on_writable = self.on_writable, None
        callback()


async def test_nothing_overtakes_an_own_message_that_takes_its_time() -> None:
    """A middleware may let its turn take many of the loop's."""
    wire = Wire()
    connection = Connection(wire.sent)
    extension = {"connection": connection, "prepare": str, "publish": lambda *args: ["behind"]}
    member = Member(wire, extension)
    counters = Counters()
    assert member.enqueue("one", 3, None, counters)
    wire.open.clear()
    own = asyncio.create_task(member.send({"type": TEXT, "text": "own"}))
    await turns(2)
    assert member.enqueue("two", 3, None, counters)
    connection.resume()
    await turns(2)
    # It is blocked once more, and goes on, while the own message is on its way.
    connection.resume()
    assert member.enqueue("three", 5, None, counters)
    assert wire.sent == ["one"]
    wire.open.set()
    await own
    assert wire.sent == ["one", "own", "two", "three"]
    assert connection.on_writable is None
    assert member.outbox is None
