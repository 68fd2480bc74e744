"""Members are told of what did not come to them: by a broker's fault, or as they are behind."""

from typing import Any

import msgspec
import pytest

from fastws.app.messages import JsonCodec, MessagePackCodec
from fastws.limits import Limits
from fastws.rooms import Counters, Gap, Member, Outbox, Policy, RoomPosition, Rooms
from tests.rooms.serving import Hall, hall, payloads, turns
from tests.rooms.test_member import Wire
from tests.server.peer import Peer
from tests.server.serving import until

KINDS = ["fastws", "hidden", "uvicorn"]


class Repr:
    """A codec that writes what Python would."""

    subprotocol = "repr"

    def encode(self, message: Any) -> str:
        return repr(message)

    def add_position(self, payload: str | bytes, position: RoomPosition) -> str | bytes:
        return payload


def gap(room: str, lost: int | None) -> bytes:
    return repr(Gap(room, lost)).encode()


def outbox(policy: Policy = "drop-oldest", **limits: Any) -> Outbox:
    return Outbox(Limits(**limits), policy, Counters(), tells_gaps=True)


def drain(outbox: Outbox) -> list[Any]:
    return [outbox.take() for _ in range(len(outbox))]


# An outbox.


def test_what_is_dropped_is_told_by_room_and_before_what_waits() -> None:
    box = outbox(max_outbox_messages=2)
    for i, room in enumerate("aabab"):
        box.put(i, 1, room=room)
    assert (len(box), box.first) == (4, 0)
    gaps = {box.take(), box.take()}
    assert gaps == {Gap("a", 2), Gap("b", 1)}
    assert box.first == 4
    assert drain(box) == [3, 4]


def test_what_is_not_let_in_is_told_by_its_own_room() -> None:
    box = outbox("drop-newest", max_outbox_messages=1)
    for i, room in enumerate("abb"):
        box.put(i, 1, room=room)
    assert drain(box) == [Gap("b", 2), 0]


@pytest.mark.parametrize(
    ("known", "lost"), [([1, 2], 3), ([None, 2], None), ([2, None], None), ([2, None, 1], None)]
)
def test_several_gaps_of_a_room_are_one(known: list[int | None], lost: int | None) -> None:
    box = outbox()
    for number in known:
        box.miss("a", number)
    assert drain(box) == [Gap("a", lost)]


def test_the_gap_of_a_room_that_was_left_is_forgotten() -> None:
    box = outbox()
    box.miss("a", 1)
    box.miss("b", 1)
    box.leave("a")
    box.leave("c")
    assert drain(box) == [Gap("b", 1)]


def test_gaps_are_no_messages_that_get_lost() -> None:
    counters = Counters()
    box = Outbox(Limits(), "disconnect", counters, tells_gaps=True)
    box.miss("a", 1)
    box.put("x", 1)
    box.discard()
    assert (len(box), box.size, counters.undelivered) == (0, 0, 1)


def test_who_cannot_hear_of_a_gap_is_not_told() -> None:
    box = Outbox(Limits(max_outbox_messages=0), "drop-newest", Counters())
    box.put("x", 1, room="a")
    box.miss("a", 1)
    assert len(box) == 0


# Members.


async def broken(app: Hall, room: str, lost: int | None) -> None:
    """Does what a broker does that has lost something."""
    app.rooms.on_gap(room, lost)
    await turns(2)


@pytest.mark.parametrize("kind", KINDS)
async def test_members_of_the_room_are_told(kind: str) -> None:
    async with hall(kind, codec=Repr()) as app, app.enter() as (one, _), app.enter() as (two, its):
        app.rooms.join(its, "other")
        await broken(app, "room", 2)
        await broken(app, "other", None)
        await broken(app, "nobody's", 1)
        await app.rooms.publish("room", "x")
        await turns(2)  # else it comes behind the gap, for a gap is told at once
        await broken(app, "", 3)
        assert await payloads(one, 3) == [gap("room", 2), b"x", gap("", 3)]
        assert await payloads(two, 4) == [gap("room", 2), gap("other", None), b"x", gap("", 3)]
        assert app.rooms.counters.gaps == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_who_has_no_words_for_it_is_not_told(kind: str) -> None:
    for options in ({"codec": None}, {"codec": Repr(), "hears_gaps": False}):
        async with hall(kind, **options) as app, app.enter() as (peer, member):
            await broken(app, "room", 2)
            assert member.outbox is None
            await app.rooms.publish("room", "x")
            assert await payloads(peer, 1) == [b"x"]


def test_who_has_ended_is_not_told() -> None:
    member = Member(Rooms().publish, codec=Repr())  # type: ignore[arg-type]
    member.end()
    member.miss("room", 1, Counters())
    assert member.outbox is None


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_behind_is_told_what_was_dropped(kind: str) -> None:
    limits = Limits(max_outbox_messages=20, max_outbox_size=None)
    options: dict[str, Any] = {"codec": Repr(), "policy": "drop-oldest", "limits": limits}
    async with hall(kind, **options) as app, app.enter_slowly() as (peer, member):
        total = 0
        while not app.rooms.counters.dropped:
            await app.rooms.publish("room", f"{total:04096}")
            await turns(2)
            total += 1
        dropped = app.rooms.counters.dropped
        before, behind = await until_the_gap(peer)
        assert behind == gap("room", dropped)
        assert before == list(range(total - 20 - dropped))
        assert [int(each) for each in await payloads(peer, 20)] == [*range(total - 20, total)]
        await until(lambda: member.outbox is None)


async def until_the_gap(peer: Peer) -> tuple[list[int], bytes]:
    """Receives numbers until something else comes."""
    found: list[int] = []
    while (payload := (await peer.frame()).payload).isdigit():
        found.append(int(payload))
    return found, payload


@pytest.mark.parametrize("kind", KINDS)
async def test_who_leaves_is_told_no_more(kind: str) -> None:
    async with hall(kind, codec=Repr()) as app, app.enter_slowly() as (peer, member):
        app.rooms.join(member, "other")
        total = 0
        while member.outbox is None or not member.outbox:
            await app.rooms.publish("other", f"{total:04096}")
            await turns(2)
            total += 1
        app.rooms.on_gap("room", 1)
        app.rooms.leave(member, "room")
        assert [int(each) for each in await payloads(peer, total)] == [*range(total)]
        await until(lambda: member.outbox is None)


async def test_a_message_in_no_format_of_theirs_is_a_gap() -> None:
    """As a process of another version may send it."""
    rooms, wires = Rooms(), [Wire(), Wire()]
    codecs: list[Any] = [Repr(), JsonCodec(str)]
    for wire, codec in zip(wires, codecs, strict=True):
        rooms.join(Member(wire, codec=codec), "room")
    rooms.on_message("room", msgspec.msgpack.encode([{"json": "{}", "new": "x"}]))
    await turns(3)
    assert [wire.sent for wire in wires] == [[repr(Gap("room", 1))], ["{}"]]
    assert rooms.counters.foreign == 1


async def test_each_is_told_in_its_own_format() -> None:
    rooms, wires = Rooms(), [Wire(), Wire(), Wire()]
    codecs: list[Any] = [JsonCodec(str), MessagePackCodec(str), None]
    for wire, codec in zip(wires, codecs, strict=True):
        rooms.join(Member(wire, codec=codec), "é")
    rooms.on_gap("é", 1)
    await turns(3)
    assert wires[0].sent == ['{"type":"Gap","room":"é","lost":1}']
    assert wires[1].sent == [msgspec.msgpack.encode({"type": "Gap", "room": "é", "lost": 1})]
    assert wires[2].sent == []


async def test_who_reads_nothing_has_one_gap_for_each_of_its_rooms() -> None:
    """However often it joins and leaves others meanwhile."""
    rooms, wire = Rooms(), Wire()
    wire.open.clear()
    member = Member(wire, codec=Repr())
    rooms.join(member, "hall")
    await rooms.publish("hall", "waits")
    await turns(2)
    for i in range(100):
        rooms.join(member, str(i))
        rooms.on_gap(str(i), 1)
        rooms.on_gap("hall", 1)
        rooms.leave(member, str(i))
    assert member.outbox is not None
    assert len(member.outbox) == 1
    wire.open.set()
    await turns(5)
    assert wire.sent == ["waits", repr(Gap("hall", 100))]
    assert member.outbox is None
