"""Who comes back into a room gets what it has missed: all of it, in order, once, or is told."""

import asyncio
import random
from collections import deque
from typing import Any

import msgspec
import pytest

from fastws.app.messages import JsonCodec, Message, MessagePackCodec
from fastws.errors import BrokerUnavailable, Disconnected, ProtocolError
from fastws.limits import Limits
from fastws.rooms import History, Member, Receipt, RoomPosition, Rooms
from fastws.rooms.brokers import MemoryBroker, Past, Position
from tests.processes import PATIENCE
from tests.rooms.serving import turns
from tests.rooms.test_member import Wire

KEEP = {"": History(count=10, ttl=60)}
START = RoomPosition("a")


class Said(Message):
    n: int


class Slow(MemoryBroker):
    """One that brings messages, and tells what was, only when it is let.

    Attributes:
        answers: cleared, who asks for the past waits, once that was found.
        coming: what is still to be brought.
        error: what asking raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.answers.set()
        self.coming: deque[Any] = deque()
        self.error: Exception | None = None

    async def publish(self, channel: str, payload: bytes, message_id: str | None = None) -> Receipt:
        receiver, self.receiver = self.receiver, None
        receipt = await super().publish(channel, payload, message_id)
        self.receiver = receiver
        self.coming.append((channel, payload, receipt.position))
        return receipt

    async def past(self, channel: str, since: Position | None) -> Past:
        if self.error is not None:
            raise self.error
        past = await super().past(channel, since)
        await self.answers.wait()
        return past

    def bring(self, count: int | None = None) -> None:
        """Brings the next messages, or all."""
        for _ in range(len(self.coming) if count is None else min(count, len(self.coming))):
            channel, payload, position = self.coming.popleft()
            if self.receiver is not None and channel in self._channels:
                self.receiver.on_message(channel, payload, position)


class Client(Wire):
    """What a client has got, and where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.codec = JsonCodec(Said)

    def member(self, **options: Any) -> Member:
        return Member(self, codec=self.codec, **options)

    @property
    def got(self) -> list[Any]:
        """The numbers of what was said, and the answers to resuming."""
        return [
            m["n"] if m["type"] == "Said" else (m["type"], m.get("recovered")) for m in self.all
        ]

    @property
    def all(self) -> list[Any]:
        return [msgspec.json.decode(text) for text in self.sent]

    @property
    def position(self) -> RoomPosition:
        positions = [message["position"] for message in self.all if "position" in message]
        return msgspec.convert(positions[-1], RoomPosition)


async def say(rooms: Rooms, *numbers: int, room: str = "a") -> None:
    for n in numbers:
        await rooms.publish(room, Said(n))


async def visit(rooms: Rooms, client: Client) -> None:
    """Has a client come into the room for the first time, and go."""
    member = client.member()
    await rooms.resume(member, START)
    member.end()


def nothing_is_left(rooms: Rooms) -> bool:
    return not (rooms._rooms or rooms._catching or rooms._ahead or rooms._members)


async def test_who_comes_back_gets_what_it_has_missed_and_then_the_rest() -> None:
    rooms, client, again = Rooms(history=KEEP), Client(), Client()
    member = client.member()
    assert (await rooms.resume(member, START)).recovered is False
    await say(rooms, 1, 2)
    await turns(3)
    assert client.got == [("Resumed", False), 1, 2]
    member.end()
    await say(rooms, 3, 4)
    other = again.member()
    resumed = await rooms.resume(other, client.position)
    assert (resumed.recovered, resumed.position) == (True, client.position)
    await say(rooms, 5)
    await turns(3)
    assert again.got == [("Resumed", True), 3, 4, 5]
    assert (rooms.counters.resumed, rooms.counters.recovered) == (2, 1)
    other.end()
    assert nothing_is_left(rooms)


async def test_who_had_nothing_yet_can_come_back_too() -> None:
    rooms, client, again = Rooms(history=KEEP), Client(), Client()
    await visit(rooms, client)
    assert nothing_is_left(rooms)
    await say(rooms, 1)
    await rooms.resume(again.member(), client.position)
    assert again.got == [("Resumed", True), 1]


async def test_what_is_too_long_ago_is_not_recovered() -> None:
    rooms, client, again = Rooms(history=KEEP), Client(), Client()
    await visit(rooms, client)
    await say(rooms, *range(11))
    newest = (await rooms.publish("a", Said(11))).position
    resumed = await rooms.resume(again.member(), client.position)
    assert again.got == [("Resumed", False)]
    assert newest is not None
    assert resumed.position == RoomPosition("a", *newest)


@pytest.mark.parametrize("position", [("other", 0), ("other", 3), ("same", 99)])
async def test_a_position_that_is_none(position: tuple[str, int]) -> None:
    rooms, client, again = Rooms(history=KEEP), Client(), Client()
    await rooms.resume(client.member(), START)
    await say(rooms, 1)
    epoch = client.position.epoch if position[0] == "same" else position[0]
    resumed = await rooms.resume(again.member(), RoomPosition("a", epoch, position[1]))
    assert not resumed.recovered
    assert again.got == [("Resumed", False)]


async def test_what_is_published_meanwhile_comes_once_and_behind() -> None:
    broker = Slow()
    rooms, client, again = Rooms(broker, history=KEEP), Client(), Client()
    await visit(rooms, client)
    await say(rooms, 1, 2)
    broker.answers.clear()
    task = asyncio.create_task(rooms.resume(again.member(), client.position))
    await turns(3)
    await say(rooms, 3)
    broker.bring()  # 1 and 2 have come as its past, too
    await turns(3)
    assert again.got == []
    broker.answers.set()
    await task
    await say(rooms, 4)
    broker.bring()
    await turns(3)
    assert again.got == [("Resumed", True), 1, 2, 3, 4]


async def test_what_comes_late_is_not_repeated_and_others_get_it() -> None:
    """The broker has told of a message before it brings it."""
    broker = Slow()
    rooms, client, again = Rooms(broker, history=KEEP), Client(), Client()
    await rooms.resume(client.member(), START)
    position = client.position
    await say(rooms, 1, 2, 3)
    await rooms.resume(again.member(), position)
    assert again.got == [("Resumed", True), 1, 2, 3]
    broker.bring(2)
    await say(rooms, 4)
    broker.bring()
    await turns(3)
    assert again.got == [("Resumed", True), 1, 2, 3, 4]
    assert client.got == [("Resumed", False), 1, 2, 3, 4]
    assert not rooms._ahead


async def test_more_than_may_wait_is_asked_for_again() -> None:
    broker = Slow()
    rooms, client, again = Rooms(broker, history=KEEP), Client(), Client()
    await visit(rooms, client)
    broker.answers.clear()
    late = again.member(limits=Limits(max_outbox_messages=2))
    task = asyncio.create_task(rooms.resume(late, client.position))
    await turns(3)
    await say(rooms, *range(8))
    broker.bring()
    broker.answers.set()
    await task
    assert again.got == [("Resumed", True), *range(8)]


async def test_what_is_lost_on_the_way_is_told() -> None:
    broker = Slow()
    rooms, client, again = Rooms(broker, history=KEEP), Client(), Client()
    await visit(rooms, client)
    broker.answers.clear()
    task = asyncio.create_task(rooms.resume(again.member(), client.position))
    await turns(3)
    await say(rooms, *range(20))
    rooms.on_gap("a", None)
    broker.answers.set()
    await task
    await say(rooms, 20)
    broker.bring()
    await turns(3)
    assert again.got == [("Resumed", True), ("Gap", None), 20]


async def test_who_reads_slowly_sets_the_pace() -> None:
    rooms, client, again = Rooms(history=KEEP), Client(), Client()
    await visit(rooms, client)
    await say(rooms, *range(5))
    again.open.clear()
    slow = again.member(limits=Limits(max_outbox_messages=1))
    task = asyncio.create_task(rooms.resume(slow, client.position))
    for n in range(5, 10):
        await say(rooms, n)
        await turns(2)
    assert (again.got, slow.ended, "a" in slow.rooms) == ([], False, False)
    again.open.set()
    await task
    assert again.got == [("Resumed", True), *range(10)]


async def test_who_reads_fast_leaves_others_their_turn() -> None:
    rooms, client, again = Rooms(history={"": History(5000, 60)}), Client(), Client()
    await visit(rooms, client)
    await say(rooms, *range(5000))
    task = asyncio.create_task(rooms.resume(again.member(), client.position))
    await turns(5)
    assert 0 < len(again.sent) < 5000
    await say(rooms, 5000)
    await task
    assert again.got == [("Resumed", True), *range(5001)]


async def test_who_speaks_gets_its_own_only_after_coming_back() -> None:
    rooms, client, again = Rooms(history=KEEP), Client(), Client()
    member = client.member()
    await rooms.resume(member, START)
    await rooms.publish("a", Said(1), exclude=member)
    member.end()
    await rooms.resume(again.member(), client.position)
    assert (client.got, again.got) == ([("Resumed", False)], [("Resumed", True), 1])


async def test_who_is_in_the_room_comes_back_too() -> None:
    rooms, client = Rooms(history=KEEP), Client()
    member = client.member()
    await rooms.resume(member, START)
    await rooms.resume(member, client.position)
    await say(rooms, 1)
    await turns(3)
    assert client.got == [("Resumed", False), ("Resumed", True), 1]
    rooms.leave(member, "a")
    assert nothing_is_left(rooms)


async def test_while_it_comes_it_may_leave_but_not_come_again() -> None:
    broker = Slow()
    rooms, client, again = Rooms(broker, history=KEEP), Client(), Client()
    await visit(rooms, client)
    await say(rooms, 1, 2)
    broker.answers.clear()
    other = again.member()
    first = asyncio.create_task(rooms.resume(other, client.position))
    await turns(3)
    with pytest.raises(ProtocolError, match="comes into this room already"):
        async with asyncio.timeout(PATIENCE):
            await rooms.resume(other, client.position)
    with pytest.raises(ProtocolError, match="comes into this room already"):
        rooms.join(other, "a")
    rooms.leave(other, "a")
    second = asyncio.create_task(rooms.resume(other, client.position))
    await turns(3)
    broker.answers.set()
    await asyncio.gather(first, second)
    assert again.got == [("Resumed", True), ("Resumed", True), 1, 2]
    assert other.rooms == {"a"}
    broker.answers.clear()
    rooms.leave(other, "a")
    third = asyncio.create_task(rooms.resume(other, client.position))
    await turns(3)
    rooms.leave(other, "a")
    broker.answers.set()
    await third
    assert nothing_is_left(rooms)


async def test_a_room_without_a_history() -> None:
    rooms, client = Rooms(history={"kept/": History(1, 1)}), Client()
    with pytest.raises(ProtocolError) as error:
        await rooms.resume(client.member(), START)
    assert error.value.code == 1008
    assert nothing_is_left(rooms)
    assert (await rooms.publish("a", Said(1))).position is None


async def test_whatever_goes_wrong_nothing_is_left() -> None:
    broker = Slow()
    rooms = Rooms(broker, history=KEEP)
    broker.error = BrokerUnavailable("gone")
    with pytest.raises(BrokerUnavailable):
        await rooms.resume(Client().member(), START)
    assert nothing_is_left(rooms)
    broker.error = None
    client = Client()
    client.error = ConnectionResetError()
    with pytest.raises(ConnectionResetError):
        await rooms.resume(client.member(), START)
    assert nothing_is_left(rooms)
    broker.answers.clear()
    member = Client().member()
    task = asyncio.create_task(rooms.resume(member, START))
    await turns(3)
    member.end()
    broker.answers.set()
    with pytest.raises(Disconnected):
        await task
    assert nothing_is_left(rooms)
    assert broker._channels == set()


async def test_both_formats_have_positions_and_plain_messages_have_none() -> None:
    rooms, wires = Rooms(history=KEEP), [Wire(), Wire()]
    codecs: list[Any] = [JsonCodec(Said), MessagePackCodec(Said)]
    for wire, codec in zip(wires, codecs, strict=True):
        await rooms.resume(Member(wire, codec=codec), START)
    position = (await rooms.publish("a", Said(7))).position
    await rooms.publish("a", "as it is")
    await turns(3)
    assert position is not None
    said = {"type": "Said", "n": 7, "position": {"room": "a", **position._asdict()}}
    assert msgspec.json.decode(wires[0].sent[1]) == said
    assert msgspec.msgpack.decode(wires[1].sent[1]) == said
    assert [wire.sent[2] for wire in wires] == ["as it is"] * 2


async def test_a_message_with_such_a_field_of_its_own_is_refused() -> None:
    class Moved(Message):
        position: int

    rooms = Rooms(history={"kept": History(1, 1)})
    await rooms.publish("other", Moved(1))
    with pytest.raises(TypeError, match="position"):
        await rooms.publish("kept", Moved(1))


async def test_a_message_is_published_once_for_its_id() -> None:
    rooms, client = Rooms(history=KEEP), Client()
    await rooms.resume(client.member(), START)
    first = await rooms.publish("a", Said(1), message_id="x")
    second = await rooms.publish("a", Said(1), message_id="x")
    assert second == first._replace(duplicate=True)
    assert not (await rooms.publish("b", Said(1), message_id="x")).duplicate
    await turns(3)
    assert client.got == [("Resumed", False), 1]


@pytest.mark.parametrize("seed", range(30))
async def test_whenever_it_comes_back_each_message_comes_once(seed: int) -> None:
    """Messages are brought late, members come and go at any time."""
    choose = random.Random(seed)
    broker = Slow()
    rooms = Rooms(broker, history={"": History(1000, 60)})
    lives: list[Client] = []
    end = asyncio.Event()

    async def live() -> None:
        position = START
        while not end.is_set():
            client = Client()
            member = client.member(limits=Limits(max_outbox_messages=choose.choice([4, 1000])))
            lives.append(client)
            await rooms.resume(member, position)
            for _ in range(choose.randrange(10)):
                await asyncio.sleep(0)
            rooms.leave(member, "a")
            await member.flush()
            member.end()
            position = client.position

    living = asyncio.create_task(live())
    await turns(3)
    for n in range(300):
        await say(rooms, n)
        broker.bring(choose.randrange(4))
        await turns(choose.randrange(1, 3))
    while broker.coming:
        broker.bring(3)
        await turns(2)
    await turns(5)
    end.set()
    await living
    got = [one for client in lives for one in client.got if isinstance(one, int)]
    assert got == list(range(300)[got[0] :][: len(got)])
    assert len(got) > 200
    assert ("Gap", None) not in [one for client in lives for one in client.got]
