"""The chat's messages, without a page."""

from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest

from fastws import Joined, Left, Present
from fastws.app import Error
from fastws.errors import HandshakeError
from fastws.examples.chat import Chat, Join, Leave, Members, Said, Typing, app
from fastws.testing import Client, connect, get


async def enter(stack: AsyncExitStack, name: str, room: str = "lobby") -> Client:
    """Connects; gives the client once it has been told who is there."""
    ws = await stack.enter_async_context(connect(app, f"/chat?name={name}&room={room}"))
    members = await ws.expect(Members)
    assert (members.room, members.present[-1]) == (room, Present(members.you, name))
    return ws


async def joined(ws: Client) -> tuple[str, str]:
    """Gives who has joined, and where."""
    event = await ws.expect(Joined)
    return event.data, event.room


async def test_text_goes_to_the_others_in_the_room() -> None:
    async with AsyncExitStack() as stack:
        ada, bob, cleo = [await enter(stack, name) for name in ("Ada", "Bob", "Cleo")]
        assert [await joined(ada), await joined(ada)] == [("Bob", "lobby"), ("Cleo", "lobby")]
        assert await joined(bob) == ("Cleo", "lobby")
        await ada.send('{"type": "Chat", "content": "hi"}')
        for ws in bob, cleo:
            assert await ws.recv() == ('{"type":"Said","user":"Ada","room":"lobby","content":"hi"}')
        await ada.expect_nothing()


async def test_typing_goes_to_the_others_and_under_the_own_name() -> None:
    async with AsyncExitStack() as stack:
        ada, bob = await enter(stack, "Ada"), await enter(stack, "Bob")
        await ada.expect(Joined)
        for message in '{"type": "Typing"}', '{"type": "Typing", "user": "Bob"}':
            await ada.send(message)
            assert await bob.expect(Typing) == Typing("Ada", "lobby")
        await ada.expect_nothing()


async def test_text_goes_to_the_room_joined_last_or_to_the_one_named() -> None:
    async with AsyncExitStack() as stack:
        ada, bob = await enter(stack, "Ada"), await enter(stack, "Bob", "tea")
        await ada.send(Join("tea"))
        members = await ada.expect(Members)
        assert {each.data for each in members.present} == {"Ada", "Bob"}
        assert await joined(bob) == ("Ada", "tea")
        await ada.send(Chat("to tea"))
        await ada.send(Chat("to the lobby", "lobby"))
        await ada.send(Chat("to tea, too", "tea"))
        assert [(await bob.expect(Said)).content for _ in range(2)] == ["to tea", "to tea, too"]
        await ada.send(Leave("tea"))
        assert await bob.expect(Left) == Left("tea", members.you)
        await ada.send(Chat("to the lobby"))
        await ada.expect_nothing()
        await bob.expect_nothing()


@pytest.mark.parametrize("message", [Chat("hi", "tea"), Typing(room="tea"), Leave("tea")])
async def test_who_is_not_in_a_room_has_no_say_in_it(message: Chat | Typing | Leave) -> None:
    async with AsyncExitStack() as stack:
        ada, bob = await enter(stack, "Ada"), await enter(stack, "Bob", "tea")
        await ada.send(message)
        error = await ada.expect(Error)
        assert (error.code, error.path) == ("not_in_room", "$.room")
        await bob.expect_nothing()


async def test_who_is_in_no_room_is_told_so() -> None:
    async with AsyncExitStack() as stack:
        ada = await enter(stack, "Ada")
        await ada.send(Leave("lobby"))
        await ada.send(Chat("hi"))
        assert (await ada.expect(Error)).code == "not_in_room"


async def test_joining_twice_is_joining_once() -> None:
    async with AsyncExitStack() as stack:
        ada = await enter(stack, "Ada")
        await ada.send(Join("lobby"))
        await ada.expect_nothing()
        await ada.send(Leave("lobby"))
        await ada.expect_nothing()
        assert app.rooms.names() == []


async def test_who_has_the_same_name_is_somebody_else() -> None:
    async with AsyncExitStack() as stack:
        ada, second = await enter(stack, "Ada"), await enter(stack, "Ada")
        assert await joined(ada) == ("Ada", "lobby")
        await second.send(Leave())
        left = await ada.expect(Left)
        assert [each.id for each in await app.rooms.presence("lobby")] != [left.id]
        guest = await stack.enter_async_context(connect(app, "/chat"))
        assert (await guest.expect(Members)).present[-1].data == "Guest"


@pytest.mark.parametrize("way", ["close", "failure"])
async def test_who_is_gone_has_left_every_room(way: str) -> None:
    async with AsyncExitStack() as stack:
        bob = await enter(stack, "Bob")
        try:
            async with AsyncExitStack() as inner:
                ada = await enter(inner, "Ada")
                who = (await bob.expect(Joined)).id
                await ada.send(Join("tea"))
                await ada.expect(Members)
                if way == "failure":
                    raise ConnectionResetError  # the client's, as a lost connection is
        except ConnectionResetError:
            pass
        assert await bob.expect(Left) == Left("lobby", who)
        assert app.rooms.names() == ["lobby"]
        assert await app.rooms.presence_count("lobby") == 1
    assert app.rooms.names() == []


@pytest.mark.parametrize(
    "name",
    ["", " ", " Ada", "A" * 33, "A\nB", "Ada\n", "A\x00", "A\x7f", "A\x85", "\u202eadA", "A\u2066"],
)
@pytest.mark.parametrize("parameter", ["name", "room"])
async def test_such_names_are_refused_before_the_accept(parameter: str, name: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        async with connect(app, f"/chat?{parameter}={quote(name)}"):
            pass
    assert caught.value.status == 400
    assert parameter.encode() in caught.value.body


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ('{"type": "Chat", "content": ""}', "$.content"),
        (f'{{"type": "Chat", "content": "{2001 * "x"}"}}', "$.content"),
        ('{"type": "Chat"}', "$.content"),
        ('{"type": "Join", "room": "a\\nb"}', "$.room"),
        ('{"type": "Said", "user": "Bob", "room": "lobby", "content": "hi"}', "$.type"),
    ],
)
async def test_what_cannot_be_done_is_answered(message: str, path: str) -> None:
    async with AsyncExitStack() as stack:
        ada = await enter(stack, "Ada")
        await ada.send(message)
        assert (await ada.expect(Error)).path == path
        await ada.expect_nothing()


async def test_its_page_is_served() -> None:
    response = await get(app, "/")
    assert response.status == 200
    assert b"Content-Security-Policy" in response.body
