"""What is published arrives: at all, once, in order, on our server and on others."""

import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from fastws.rooms import Member
from tests.rooms.serving import Hall, crowd, hall, payloads, turns
from tests.server.peer import BINARY, TEXT, Frame, Peer, text
from tests.server.serving import until

# "hidden" is our server, of which members do not know.
KINDS = ["fastws", "hidden", "uvicorn"]

pytestmark = pytest.mark.parametrize("kind", KINDS)


async def test_everybody_but_the_sender_gets_it(kind: str) -> None:
    async with hall(kind) as app, crowd(app, 4) as peers:
        await peers[1].send(text("hello"), text("there"))
        for peer in peers[:1] + peers[2:]:
            assert await payloads(peer, 2) == [b"hello", b"there"]
        await app.rooms.publish("room", "from the app")
        for peer in peers:
            assert await payloads(peer, 1) == [b"from the app"]
        counted = app.rooms.counters
        assert (counted.published, counted.deliveries) == (3, 3 + 3 + 4)


@pytest.mark.parametrize(
    "message",
    ["", "é" * 100, "x" * 70_000, b"", b"\x00" * 300, b"x" * 1_000_000],
    ids=["empty", "short", "long", "nothing", "zeros", "huge"],
)
async def test_what_is_text_and_what_is_binary(kind: str, message: str | bytes) -> None:
    async with hall(kind) as app, crowd(app, 3) as peers:
        await app.rooms.publish("room", message)
        opcode = TEXT if isinstance(message, str) else BINARY
        payload = message.encode() if isinstance(message, str) else message
        for peer in peers:
            assert await peer.frame() == Frame(opcode, payload)


async def test_rooms_are_apart_and_a_broadcast_is_for_all(kind: str) -> None:
    async with hall(kind) as app, crowd(app, 3) as peers:
        one, two, three = app.members
        app.rooms.join(one, "Room")
        app.rooms.join(two, "Room")
        app.rooms.leave(three, "room")
        await app.rooms.publish("Room", "to two", exclude=one)
        await app.rooms.publish("room", "to one and two")
        await app.rooms.broadcast("to those in any room")
        await app.rooms.broadcast("to one", exclude=two)
        assert await payloads(peers[0], 3) == [
            b"to one and two",
            b"to those in any room",
            b"to one",
        ]
        assert await payloads(peers[1], 3) == [
            b"to two",
            b"to one and two",
            b"to those in any room",
        ]
        await three.send({"type": "websocket.send", "text": "the first"})
        assert await payloads(peers[2], 1) == [b"the first"]


async def test_who_joins_later_does_not_get_it(kind: str) -> None:
    async with hall(kind) as app, crowd(app, 2) as peers:
        late = app.members[1]
        app.rooms.leave(late, "room")
        await app.rooms.publish("room", "early")
        app.rooms.join(late, "room")
        await app.rooms.publish("room", "late")
        assert await payloads(peers[0], 2) == [b"early", b"late"]
        assert await payloads(peers[1], 1) == [b"late"]


async def test_who_leaves_later_does_get_it(kind: str) -> None:
    async with hall(kind) as app, crowd(app, 1) as (peer,):
        (member,) = app.members
        await app.rooms.publish("room", "before")
        app.rooms.leave(member, "room")
        await app.rooms.publish("room", "after")
        await member.send({"type": "websocket.send", "text": "the last"})
        assert await payloads(peer, 2) == [b"before", b"the last"]


async def test_a_connection_that_is_gone_harms_nobody(kind: str) -> None:
    async with hall(kind) as app, crowd(app, 1) as (peer,):
        for reset in (True, False):
            async with app.enter() as (other, member):
                if reset:
                    other.reset()
            await app.rooms.publish("room", "x")
            await until(lambda: not app.rooms.members("room")[1:])
            assert member.ended
            assert not member.rooms
        assert app.rooms.members("room") == app.members[:1]
        assert await payloads(peer, 2) == [b"x", b"x"]


async def test_a_connection_that_ends_before_the_turn_does(kind: str) -> None:
    async with hall(kind) as app, crowd(app, 1) as (peer,):
        before = set(app.server.connections)
        async with app.enter() as (other, member):
            (protocol,) = set(app.server.connections) - before
            protocol.transport.abort()
            await app.rooms.publish("room", "x")
            assert await payloads(peer, 1) == [b"x"]
            await until(lambda: member.ended)
            assert b"x" not in await other.gone()


class Upper:
    """A codec that writes text, and counts."""

    subprotocol = "upper"

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, message: Any) -> str:
        self.calls += 1
        return repr(message).upper()


class Binary(Upper):
    """One that writes bytes."""

    subprotocol = "binary"

    def encode(self, message: Any) -> Any:
        return super().encode(message).encode()


async def test_a_message_is_encoded_once_for_each_codec(kind: str) -> None:
    codecs: list[Any] = [Upper(), Binary(), None]
    async with hall(kind) as app, AsyncExitStack() as stack:
        peers = []
        for codec in [codecs[0], codecs[1], codecs[0], codecs[1]]:
            app.options = {"codec": codec}
            peers.append((await stack.enter_async_context(app.enter()))[0])
        await app.rooms.publish("room", ("a", 1))
        await app.rooms.publish("room", "as it is")
        for peer, opcode in zip(peers, [TEXT, BINARY] * 2, strict=True):
            assert await peer.frame() == Frame(opcode, b"('A', 1)")
            assert await peer.frame() == Frame(TEXT, b"as it is")
        assert [codec.calls for codec in codecs[:2]] == [1, 1]

        app.options = {"codec": None}
        async with app.enter():
            with pytest.raises(TypeError, match="without a codec cannot get a tuple"):
                await app.rooms.publish("room", ("a", 1))


async def test_what_members_send_themselves_keeps_its_place(kind: str) -> None:
    """While a connection is read, what it sends is collected elsewhere than what others do."""

    async def act(member: Member, message: Any) -> None:
        for i in range(3):
            await member.send({"type": "websocket.send", "text": f"{message} own {i}"})
            await app.rooms.publish("room", f"{message} all {i}")

    async with hall(kind) as app, crowd(app, 2) as (one, two):
        app.act = act
        await one.send(text("a"), text("b"))
        own = [f"{m} {who} {i}".encode() for m in "ab" for i in range(3) for who in ("own", "all")]
        assert await payloads(one, 12) == own
        assert await payloads(two, 6) == [message for message in own if b"all" in message]


@pytest.mark.parametrize("seed", range(8))
async def test_any_mix_of_messages_keeps_its_order(kind: str, seed: int) -> None:
    """Members of several rooms, of which each gets another part of what a turn publishes."""
    choose = random.Random(seed)
    async with hall(kind) as app, crowd(app, 6) as peers:
        expected = await play(app, choose)
        for peer, messages in zip(peers, expected, strict=True):
            assert await payloads(peer, len(messages)) == messages


async def play(app: Hall, choose: random.Random) -> list[list[bytes]]:
    """Does this and that; gives what each member has to get."""
    members = app.members
    expected: list[list[bytes]] = [[] for _ in members]
    for step in range(300):
        i = choose.randrange(len(members))
        room = choose.choice(["room", "a", "b"])
        size = choose.choice([8, 8, 8, 200, 20_000] if step % 50 else [70_000])
        message = f"{step:08}".encode() * (size // 8)
        match choose.randrange(20):
            case 0:
                app.rooms.leave(members[i], room)
            case 1 | 2:
                app.rooms.join(members[i], room)
            case 3 | 4:
                await members[i].send({"type": "websocket.send", "bytes": message})
                expected[i].append(message)
            case 5:
                await turns(choose.randrange(4))
            case _:
                exclude = members[i] if choose.random() < 0.3 else None
                for member, its in zip(members, expected, strict=True):
                    if room in member.rooms and member is not exclude:
                        its.append(message)
                await app.rooms.publish(room, message, exclude=exclude)
    return expected


async def test_compressed_and_not(kind: str) -> None:
    offer = [(b"sec-websocket-extensions", b"permessage-deflate")]
    async with hall(kind) as app, AsyncExitStack() as stack:
        peers: list[Peer] = []
        for headers in (offer, [], offer, []):
            peers.append((await stack.enter_async_context(app.enter(headers=headers)))[0])
        for message in ("short", "long " * 200, "short", "long " * 200):
            await app.rooms.publish("room", message)
        for peer in peers[1::2]:
            assert await payloads(peer, 4) == [b"short", b"long " * 200] * 2
        for peer in peers[::2]:
            frames = [await peer.frame() for _ in range(4)]
            assert [frame.rsv for frame in frames[1::2]] == [4, 4]
