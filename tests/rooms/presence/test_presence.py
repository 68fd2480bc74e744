"""Who is in a room, in all workers together; what is told of those who come and go."""

import asyncio
from typing import Any

import pytest

from fastws.errors import ProtocolError
from fastws.limits import Limits
from fastws.rooms import History, Joined, Left, Present, RoomPosition, Rooms
from fastws.rooms.brokers import MemoryBroker
from tests.rooms.presence.workers import (
    PATIENT,
    Visitor,
    Worker,
    forgotten,
    rosters,
    workers,
)
from tests.rooms.serving import turns
from tests.server.serving import until


async def test_all_workers_know_all(url: str) -> None:
    async with workers(url, 3) as some:
        a, b = some[0], some[-1]
        ada = a.enter(data={"name": "Ada"})
        bob = b.enter(data=["Bob", 1, 2.5, None, True])
        eve = b.enter("other")
        for worker in some:
            await worker.sees(ada, bob)
            await worker.sees(eve, room="other")
            await worker.counts(2, "room")
            found = await worker.rooms.presence("room")
            assert sorted(found, key=lambda each: each.id) == sorted(
                [Present(ada.id, {"name": "Ada"}), Present(bob.id, ["Bob", 1, 2.5, None, True])],
                key=lambda each: each.id,
            )
        a.rooms.leave(ada.member, "room")
        for worker in some:
            await worker.sees(bob)
        bob.member.end()
        for worker in some:
            await worker.sees()
            assert await worker.rooms.presence("room") == []
            await worker.sees(eve, room="other")


async def test_a_worker_that_comes_later_knows_who_is_there(url: str) -> None:
    async with workers(url, presence_lease=PATIENT) as some:
        there = [each.enter(data=i) for i, each in enumerate(some)]
        for each in some:
            await each.sees(*there)
        if url == "memory://":
            return
        async with workers(url, 1, presence_lease=PATIENT) as [late]:
            newcomer = late.enter(data="new")
            # The first answer is the whole one.
            assert await late.who() == {each.id for each in (*there, newcomer)}
            assert await late.rooms.presence_count("room") == 3
            for each in some:
                await each.sees(*there, newcomer)
            # It has been told of nobody: it has asked.
            assert newcomer.got == []
        for each in some:
            await each.sees(*there)


async def test_others_are_told_who_comes_and_goes(url: str) -> None:
    async with workers(url, 3) as some:
        a, b = some[0], some[-1]
        ada = a.enter()
        for worker in (a, b):
            await worker.sees(ada)
        bob = b.enter(data="B")
        await until(lambda: len(ada.got) == 1)
        eve = a.enter(data="E")
        await until(lambda: len(ada.got) == 2 and len(bob.got) == 1)
        b.rooms.leave(bob.member, "room")
        await until(lambda: len(ada.got) == 3 and len(eve.got) == 1)
        eve.member.end()
        await until(lambda: len(ada.got) == 4)
        assert ada.got[0] == f'{{"type":"Joined","room":"room","id":"{bob.id}","data":"B"}}'
        assert ada.events == [
            Joined("room", bob.id, "B"),
            Joined("room", eve.id, "E"),
            Left("room", bob.id),
            Left("room", eve.id),
        ]
        assert ada.got[3] == f'{{"type":"Left","room":"room","id":"{eve.id}"}}'
        assert bob.events == [Joined("room", eve.id, "E")]
        assert eve.events == [Left("room", bob.id)]


async def test_each_is_told_once_and_none_leaves_before_it_has_joined(url: str) -> None:
    async with workers(url, 3) as some:
        watchers: list[Visitor] = []
        for worker in some:
            watchers.append(worker.enter("hall"))
            for each in some:
                await each.sees(*watchers, room="hall")
        before = [len(some) - 1 - i for i in range(len(some))]
        total = 40

        async def come_and_go(worker: Worker) -> None:
            for i in range(total):
                visitor = worker.enter("hall", data=i)
                await turns(i % 3)
                worker.rooms.leave(visitor.member, "hall")
                if i % 4 == 0:
                    await asyncio.sleep(0.001)

        await asyncio.gather(*map(come_and_go, some))
        expected = 2 * total * len(some)
        await until(
            lambda: all(len(w.got) - n >= expected for w, n in zip(watchers, before, strict=True))
        )
        for watcher, n in zip(watchers, before, strict=True):
            seen: dict[str, Any] = {}
            for event in watcher.events[n:]:
                if isinstance(event, Joined):
                    assert event.id not in seen
                    seen[event.id] = True
                else:
                    assert seen[event.id]
                    seen[event.id] = False
            assert len(seen) == total * len(some)
            assert not any(seen.values())
        for worker in some:
            await worker.sees(*watchers, room="hall")


async def test_two_tabs_are_two_members_and_one_may_be_in_many_rooms(url: str) -> None:
    async with workers(url) as some:
        a, b = some[0], some[-1]
        tabs = [a.enter(data="Ada"), b.enter(data="Ada")]
        a.rooms.join(tabs[0].member, "other", "elsewhere")
        await b.sees(*tabs)
        await b.sees(tabs[0], room="other")
        assert await b.rooms.presence("other") == [Present(tabs[0].id, "elsewhere")]
        # To join again changes nothing.
        a.rooms.join(tabs[0].member, "room", "Eve")
        a.rooms.leave(tabs[0].member, "other")
        await b.sees(room="other")
        assert {each.data for each in await b.rooms.presence("room")} == {"Ada"}


async def test_who_leaves_and_joins_again_may_show_something_else(url: str) -> None:
    async with workers(url) as some:
        a, b = some[0], some[-1]
        bob = b.enter()
        await b.sees(bob)
        ada = a.enter(data="here")
        a.rooms.leave(ada.member, "room")
        a.rooms.join(ada.member, "room", "away")
        await until(lambda: len(bob.got) == 3)
        here, away = Joined("room", ada.id, "here"), Joined("room", ada.id, "away")
        assert bob.events == [here, Left("room", ada.id), away]
        assert Present(ada.id, "away") in await b.rooms.presence("room")


async def test_who_resumes_is_there_again(keeper_url: str) -> None:
    async with workers(keeper_url, history={"": History(10, 60.0)}) as some:
        a, b = some[0], some[-1]
        ada = a.enter()
        for worker in some:
            await worker.sees(ada)
        bob = Visitor()
        with pytest.raises(ProtocolError, match="shows at most"):
            await b.rooms.resume(bob.member, RoomPosition("room"), "x" * 2000)
        await b.rooms.resume(bob.member, RoomPosition("room"), "Bob")
        await until(lambda: ada.got)
        assert ada.events == [Joined("room", bob.id, "Bob")]
        for worker in some:
            await worker.sees(ada, bob)


async def test_a_list_without_events(url: str) -> None:
    async with workers(url) as some:
        a, b = some[0], some[-1]
        ada, bob = a.enter("list/1", "Ada"), b.enter("list/1")
        for each in some:
            await each.sees(ada, bob, room="list/1")
        ada.member.end()
        await b.sees(bob, room="list/1")
        assert ada.got == bob.got == []


async def test_a_count_without_a_list(url: str) -> None:
    async with workers(url, 3) as some:
        there = [worker.enter("count/1") for worker in some for _ in range(10)]
        for worker in some:
            await worker.counts(len(there), "count/1")
            with pytest.raises(ValueError, match="only the number of its members is known"):
                await worker.rooms.presence("count/1")
        for visitor in there[5:]:
            visitor.member.end()
        for worker in some:
            await worker.counts(5, "count/1")
        for visitor in there[:5]:
            visitor.member.end()
            assert visitor.got == []
        for worker in some:
            await worker.counts(0, "count/1")
        await forgotten(*some)


async def test_nothing_is_kept_of_rooms_that_all_have_left(url: str) -> None:
    async with workers(url) as some:
        there = [worker.enter(room) for worker in some for room in ("a", "list/a", "count/a") * 3]
        for worker in some:
            await worker.counts(3 * len(some), "count/a")
            await worker.counts(3 * len(some), "a")
            await worker.counts(0, "nobody's")
        for visitor in there:
            visitor.member.end()
        await forgotten(*some)
        assert all(worker.rooms.presence_known == 0 for worker in some)


@pytest.mark.deep
async def test_a_thousand_members(url: str) -> None:
    """More than goes in one message; a worker that comes later has all with its first answer."""
    data = {"about": "x" * 900}
    async with workers(url, presence_lease=PATIENT) as some:
        there = [some[0].enter("list/1", {**data, "i": i}) for i in range(1200)]
        await some[-1].counts(1200, "list/1")
        found = await some[-1].rooms.presence("list/1")
        assert {each.id: each.data["i"] for each in found} == {
            visitor.id: i for i, visitor in enumerate(there)
        }
        if url != "memory://":
            async with workers(url, 1, presence_lease=PATIENT) as [late]:
                assert len(await late.rooms.presence("list/1")) == 1200
        for visitor in there:
            visitor.member.end()
        await some[-1].counts(0, "list/1")


# What is refused.


async def test_a_room_without_a_presence() -> None:
    rooms = Rooms(presence={"chat/": "events"})
    member = Visitor().member
    for ask in (rooms.presence, rooms.presence_count):
        with pytest.raises(ValueError, match="the room 'lobby' has no presence"):
            await ask("lobby")
    with pytest.raises(ValueError, match="the room 'lobby' has no presence"):
        rooms.join(member, "lobby", data=1)
    assert (rooms.names(), rooms.population) == ([], 0)
    rooms.join(member, "lobby")
    assert rooms.presence_known == 0
    rooms.join(member, "chat/1", data=1)
    assert rooms.presence_known == 1
    with pytest.raises(
        ValueError, match="'lists' is no presence; there are count, members, events"
    ):
        Rooms(presence={"": "lists"})  # type: ignore[dict-item]


def test_the_longest_prefix_counts() -> None:
    rooms = Rooms(presence={"a": "count", "": "members", "ab": "events"})
    levels = {room: rooms._presence.level(room) for room in ("b", "a", "ac", "ab", "abc")}
    assert levels == {"b": "members", "a": "count", "ac": "count", "ab": "events", "abc": "events"}
    assert Rooms()._presence.level("a") is None


async def test_what_is_shown_is_bounded_and_is_json() -> None:
    rooms = Rooms(presence={"": "events", "count/": "count"})
    member = Visitor(limits=Limits(max_presence_size=10)).member
    with pytest.raises(ProtocolError, match="shows at most 10 bytes of itself, not 11") as error:
        rooms.join(member, "room", data="123456789")
    assert error.value.code == 1008
    with pytest.raises(TypeError):
        rooms.join(member, "room", data=object())
    with pytest.raises(ValueError, match="only the number"):
        rooms.join(member, "count/1", data=1)
    assert (rooms.population, rooms.presence_known) == (0, 0)
    rooms.join(member, "room", data="12345678")
    other = Visitor(limits=Limits(max_presence_size=None)).member
    rooms.join(other, "room", data=b"x" * 100_000)
    await turns()


async def test_what_is_shown_is_the_same_here_and_elsewhere() -> None:
    rooms = Rooms(presence={"": "events"})
    shown = {"a": (1, 2)}
    rooms.join(Visitor().member, "room", shown)
    shown["a"] = (3, 4)
    assert [each.data for each in await rooms.presence("room")] == [{"a": [1, 2]}]


def test_a_lease_takes_some_time() -> None:
    with pytest.raises(ValueError, match="presence_lease has to be above 0"):
        Worker("redis://localhost", presence_lease=0.0)


def test_no_room_has_a_name_like_those_between_workers() -> None:
    rooms = Rooms(presence={"": "events"})
    for name in ("\0presence", "\0presence:room", "\0"):
        with pytest.raises(ProtocolError) as error:
            rooms.join(Visitor().member, name)
        assert error.value.code == 1008


async def test_without_a_presence_nothing_is_said() -> None:
    class Engine(MemoryBroker):
        local = False
        said: list[str] = []

        async def publish(self, channel: str, *args: Any) -> Any:
            self.said.append(channel)
            return await super().publish(channel, *args)

    rooms = Rooms(Engine())
    await rooms.start()
    member = Visitor().member
    rooms.join(member, "room")
    await turns()
    member.end()
    await rooms.stop()
    assert Engine.said == []


async def test_a_member_that_does_not_read_is_closed_and_others_are_told_of_that() -> None:
    rooms = Rooms(presence={"": "events"})
    limits = Limits(max_outbox_messages=3)
    first = Visitor(limits=limits)
    slow = Visitor(limits=limits)
    stuck = asyncio.Event()

    async def never(event: Any) -> None:
        await stuck.wait()

    slow.member._send = never
    for visitor in (first, slow):
        rooms.join(visitor.member, "room")
    for _ in range(10):
        rooms.join(Visitor().member, "room")
        await turns()
    assert slow.member.ended
    assert Left("room", slow.id) in first.events
    assert rooms.counters.disconnected == 1
    assert slow.id not in {each.id for each in await rooms.presence("room")}
    stuck.set()
    await turns()


async def test_many_who_do_not_read_are_closed_one_after_the_other() -> None:
    """Each is told that another has left, and has no room for that, either."""
    rooms = Rooms(presence={"": "events"})
    stuck = asyncio.Event()

    async def never(event: Any) -> None:
        await stuck.wait()

    slow = [Visitor(limits=Limits(max_outbox_messages=300)) for _ in range(250)]
    for visitor in slow:
        visitor.member._send = never
        rooms.join(visitor.member, "room")
    last = Visitor(limits=Limits(max_outbox_messages=300))
    rooms.join(last.member, "room")
    await turns()
    while rooms.count("room") > 1:
        await rooms.publish("room", "x")
        await turns()
    assert rooms.counters.disconnected == 250
    last.got = [text for text in last.got if text != "x"]
    assert last.events == [Left("room", visitor.id) for visitor in slow]
    assert [each.id for each in await rooms.presence("room")] == [last.id]
    stuck.set()
    await turns()


async def test_one_who_cannot_be_told_of_the_last_one_leaving_is_the_last_one() -> None:
    rooms = Rooms(presence={"": "events"})
    stuck = asyncio.Event()

    async def never(event: Any) -> None:
        await stuck.wait()

    slow, other = Visitor(limits=Limits(max_outbox_messages=1)), Visitor()
    slow.member._send = never
    rooms.join(slow.member, "room")
    rooms.join(other.member, "room")
    await turns()
    await rooms.publish("room", "x")
    await turns()
    other.member.end()
    assert (slow.member.ended, rooms.names(), rooms.presence_known) == (True, [], 0)
    assert rooms._presence._rosters == {}
    stuck.set()
    await turns()


def test_off_there_is_nothing_of_it() -> None:
    rooms = Rooms()
    rooms.join(Visitor().member, "room")
    assert rooms._presence._rosters == {}
    assert rooms._presence._gossip is None


def test_rosters_are_gone_with_the_last_member() -> None:
    worker = Worker("memory://")
    visitor = worker.enter()
    assert list(rosters(worker)) == ["room"]
    visitor.member.end()
    assert rosters(worker) == {}
