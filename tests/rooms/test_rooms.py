"""Who is where: both maps agree, whoever joins and leaves, and nothing stays."""

import asyncio
import gc
import weakref
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastws.errors import Disconnected, ProtocolError
from fastws.limits import Limits
from fastws.rooms import Member, Rooms
from fastws.rooms.brokers import MemoryBroker
from fastws.rooms.names import MAX_NAME


async def ignore(event: Any) -> None:
    """Sends to nobody."""


class Recording(MemoryBroker):
    """A broker that tells what it is subscribed to."""

    @property
    def channels(self) -> set[str]:
        return self._channels


class Comparison(RuleBasedStateMachine):
    """Joins and leaves, beside sets of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Recording()
        self.rooms = Rooms(self.broker)
        self.members = [Member(ignore, limits=Limits(max_rooms=3)) for _ in range(4)]
        self.pairs: list[tuple[Member, str]] = []

    who = st.integers(0, 3)
    where = st.sampled_from(["a", "A", "b", " ", "é"])

    @rule(i=who, room=where)
    def join(self, i: int, room: str) -> None:
        member = self.members[i]
        if (member, room) in self.pairs:
            self.rooms.join(member, room)
        elif sum(m is member for m, _ in self.pairs) < 3:
            self.rooms.join(member, room)
            self.pairs.append((member, room))
        else:
            with pytest.raises(ProtocolError) as error:
                self.rooms.join(member, room)
            assert (error.value.code, error.value.reason) == (1008, "over 3 rooms")

    @rule(i=who, room=where)
    def leave(self, i: int, room: str) -> None:
        self.rooms.leave(self.members[i], room)
        self.pairs = [pair for pair in self.pairs if pair != (self.members[i], room)]

    @rule(i=who, ends=st.booleans())
    def leave_all(self, i: int, ends: bool) -> None:
        member = self.members[i]
        if ends:
            member.end()
            self.members[i] = Member(ignore, limits=Limits(max_rooms=3))
        else:
            self.rooms.leave_all(member)
        self.pairs = [pair for pair in self.pairs if pair[0] is not member]

    @invariant()
    def both_ways_are_the_same(self) -> None:
        names = {room for _, room in self.pairs}
        assert set(self.rooms.names()) == names
        assert self.rooms.population == len({id(member) for member, _ in self.pairs})
        for room in names:
            there = [member for member, its in self.pairs if its == room]
            assert self.rooms.members(room) == there
            assert self.rooms.count(room) == len(there)
        for member in self.members:
            assert member.rooms == {room for its, room in self.pairs if its is member}

    @invariant()
    def the_broker_is_asked_for_what_is_there(self) -> None:
        names = {room for _, room in self.pairs}
        assert self.broker.channels == (names | {""} if names else set())


TestComparison = Comparison.TestCase


@pytest.mark.parametrize("name", ["x" * MAX_NAME, "é" * (MAX_NAME // 2), "\n", "a b"])
def test_names_of_rooms(name: str) -> None:
    rooms = Rooms()
    member = Member(ignore)
    rooms.join(member, name)
    assert rooms.names() == [name]


@pytest.mark.parametrize(
    "name",
    ["", "x" * (MAX_NAME + 1), "é" * (MAX_NAME // 2) + "x", "\ud800", "\0", "\0room"],
    ids=["empty", "long", "long in bytes", "surrogate", "NUL", "begins with NUL"],
)
def test_no_names_of_rooms(name: str) -> None:
    rooms = Rooms()
    member = Member(ignore)
    with pytest.raises(ProtocolError) as error:
        rooms.join(member, name)
    assert error.value.code == 1008
    with pytest.raises(ProtocolError) as error:
        rooms.publish(name, "x").send(None)
    assert error.value.code == 1008
    assert rooms.names() == []
    assert not member.rooms
    rooms.leave(member, name)


def step(coroutine: Any) -> None:
    """Runs a coroutine that has to end without waiting for anything."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_publishing_takes_no_turn_of_the_loop() -> None:
    rooms = Rooms()
    step(rooms.publish("nobody", "x"))
    step(rooms.broadcast("x"))
    assert rooms.counters.published == 0


class Away(MemoryBroker):
    """A broker whose engine is out of reach."""

    async def settled(self) -> None:
        raise ConnectionRefusedError


async def test_who_waits_for_joins_hears_of_the_engine() -> None:
    await Rooms().settled()
    with pytest.raises(ConnectionRefusedError):
        await Rooms(Away()).settled()


def test_a_member_that_has_ended_joins_nothing() -> None:
    rooms = Rooms()
    member = Member(ignore)
    member.end()
    with pytest.raises(Disconnected):
        rooms.join(member, "room")
    assert rooms.names() == []


def test_a_member_is_in_rooms_of_one_house() -> None:
    member = Member(ignore)
    Rooms().join(member, "a")
    other = Rooms()
    with pytest.raises(RuntimeError, match="in rooms elsewhere"):
        other.join(member, "b")
    assert other.names() == []


def test_a_policy_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="'drop' is no policy; there are disconnect"):
        Member(ignore, policy="drop")  # type: ignore[arg-type]


def test_a_key_is_a_str() -> None:
    with pytest.raises(TypeError, match="a key is a str, not int"):
        Rooms().publish("room", "x", key=1).send(None)  # type: ignore[arg-type]


def test_any_number_of_rooms() -> None:
    rooms = Rooms()
    member = Member(ignore, limits=Limits(max_rooms=None))
    for i in range(1000):
        rooms.join(member, str(i))
    member.end()
    assert rooms.names() == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"\xc1",
        b"{}",
        b"\x93\x01\x00\xc0",
        b"\x91\xa1x\x00",
        b"\x92\xa1x\xa1x",
        b"\x91\xa2\xff\xfe",  # no UTF-8
        b"\x93\xa1x\x00\xa1\xff",
        b"\xdd\xff\xff\xff\xff\xa1x",  # lengths that are lies
        b"\x91\xdb\xff\xff\xff\xffx",
        b"\x91" * 100_000,  # deep
        b"\x91" + b"\x81\xa1a" * 100_000,
    ],
)
def test_what_is_foreign_is_counted_and_skipped(payload: bytes) -> None:
    rooms = Rooms()
    rooms.join(Member(ignore), "room")
    rooms.on_message("room", payload)
    assert rooms.counters.foreign == 1


async def test_who_is_closed_for_being_slow_publishes_behind_what_it_was_slow_for() -> None:
    rooms = Rooms()
    sent: list[tuple[str, str]] = []
    tasks = []

    def closing(code: int, reason: str) -> None:
        tasks.append(asyncio.ensure_future(rooms.publish("room", "it has gone")))
        rooms.on_message("room", msgspec.msgpack.encode(["and at once"]))

    def member(name: str, **options: Any) -> Member:
        async def send(event: dict[str, Any]) -> None:
            if name == "slow":
                await asyncio.get_running_loop().create_future()
            sent.append((name, event["text"]))

        return Member(send, **options)

    rooms.join(member("slow", limits=Limits(max_outbox_messages=0), close=closing), "room")
    rooms.join(member("other"), "room")
    await rooms.publish("room", "on its way")
    await rooms.publish("room", "news")
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    texts = ("on its way", "news", "and at once", "it has gone")
    assert sent == [("other", text) for text in texts]


def test_a_member_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        rooms = Rooms()
        member = Member(ignore)
        rooms.join(member, "room")
        member.end()
        left = weakref.ref(member)
        del member
        assert left() is None
    finally:
        gc.enable()
