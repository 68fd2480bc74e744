"""Presence as an app has it: what a member shows, who asks, who is told."""

from typing import Any

import msgspec
import pytest

from fastws import App, Joined, Left, Limits, Message, Present, WebSocket
from fastws.testing import connect, get


class Enter(Message):
    room: str
    shown: str | None = None


class Who(Message):
    room: str


class People(Message):
    me: str
    present: list[Present]


class Number(Message):
    count: int


def make(**options: Any) -> App:
    app = App(**options)

    @app.websocket("/", messages=Enter | Who)
    async def serve(ws: WebSocket[Enter | Who]) -> None:
        await ws.accept()
        with pytest.raises(RuntimeError, match="has not joined a room"):
            print(ws.id)
        async for message in ws:
            match message:
                case Enter(room, shown):
                    ws.join(room, shown)
                    await ws.send(People(ws.id, await app.rooms.presence(room)))
                case Who(room):
                    await ws.send(Number(await app.rooms.presence_count(room)))

    @app.websocket("/plain")
    async def plain(ws: WebSocket[str]) -> None:
        await ws.accept()
        ws.join("room")
        await ws.send(str(await app.rooms.presence_count("room")))
        async for message in ws:
            await ws.send(message)

    return app


async def test_who_is_there_and_who_comes_and_goes() -> None:
    app = make(presence={"room": "events"})
    async with connect(app, "/") as ada:
        await ada.send(Enter("room", "Ada"))
        first = await ada.expect(People)
        assert first.present == [Present(first.me, "Ada")]
        async with connect(app, "/", subprotocols=["msgpack"]) as bob:
            await bob.send(Enter("room", "Bob"))
            second = await bob.expect(People)
            assert second.present == [*first.present, Present(second.me, "Bob")]
            assert await ada.expect(Joined) == Joined("room", second.me, "Bob")
            async with connect(app, "/plain") as eve:
                assert await eve.recv() == "3"
                for ws in (ada, bob):
                    assert (await ws.expect(Joined)).data is None
                await ada.send(Who("room"))
                assert await ada.expect(Number) == Number(3)
                # Who has no messages is told nothing.
                await eve.send("hello")
                assert await eve.recv() == "hello"
            assert (await ada.expect(Left)).room == "room"
            await bob.expect(Left)
        assert await ada.expect(Left) == Left("room", second.me)
        await ada.send(Who("room"))
        assert await ada.expect(Number) == Number(1)


async def test_too_much_is_refused_and_a_room_without_presence_is_a_fault() -> None:
    app = make(presence={"room": "members"}, limits=Limits(max_presence_size=20))
    async with connect(app, "/") as ada:
        await ada.send(Enter("room", "x" * 19))
        assert await ada.expect_close() == (
            1008,
            "a member shows at most 20 bytes of itself, not 21",
        )
    async with connect(app, "/") as ada:
        await ada.send(Enter("lobby"))
        assert (await ada.expect_close())[0] == 1011


async def test_metrics() -> None:
    app = make(presence={"": "events"})
    async with connect(app, "/plain") as ada, connect(app, "/plain") as bob:
        assert (await ada.recv(), await bob.recv()) == ("1", "2")
        lines = (await get(app, "/metrics")).body.decode().splitlines()
        assert "fastws_presence_members 2.0" in lines
        assert "fastws_presence_expired_workers_total 0.0" in lines


def test_the_types_as_clients_see_them() -> None:
    assert (
        msgspec.json.encode(Joined("r", "1"))
        == b'{"type":"Joined","room":"r","id":"1","data":null}'
    )
    assert msgspec.json.encode(Left("r", "1")) == b'{"type":"Left","room":"r","id":"1"}'
    assert msgspec.json.encode(Present("1", [2])) == b'{"id":"1","data":[2]}'
