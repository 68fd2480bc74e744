"""Clients that come back into rooms with a history, as an app writes it, on two servers."""

from typing import Any

import msgspec
import pytest

from fastws import App, History, Limits, Message, RoomPosition, WebSocket
from fastws.errors import Disconnected
from tests.app.conftest import Run, connect
from tests.server.serving import until


class Resume(Message):
    position: RoomPosition


class Chat(Message):
    content: str


def make(**options: Any) -> App:
    app = App(history={"kept/": History(count=1000, ttl=60)})

    @app.websocket("/ws", messages=Resume | Chat, **options)
    async def talk(ws: WebSocket[Resume | Chat]) -> None:
        await ws.accept()
        async for message in ws:
            match message:
                case Resume(position):
                    await ws.resume(position)
                case Chat():
                    for room in ws.rooms:
                        await ws.publish(room, message)

    return app


class Client:
    """A client that knows where it is.

    Attributes:
        position: what it gives when it comes back, as it came.
    """

    def __init__(self, room: str = "kept/a") -> None:
        self.position: Any = {"room": room}

    async def resume(self, ws: Any) -> dict[str, Any]:
        """Comes back; gives the answer."""
        await ws.send(msgspec.json.encode({"type": "Resume", "position": self.position}).decode())
        return await self.next(ws)

    async def next(self, ws: Any) -> dict[str, Any]:
        """Gives the next message."""
        message: dict[str, Any] = msgspec.json.decode(await ws.recv(timeout=10))
        self.position = message.get("position", self.position)
        return message


async def test_a_client_comes_back_and_has_missed_nothing(run: Run) -> None:
    app, ada = make(), Client()
    async with run(app) as server:
        async with connect(server) as ws:
            answer = await ada.resume(ws)
            assert (answer["type"], answer["recovered"]) == ("Resumed", False)
            await app.rooms.publish("kept/a", Chat("one"))
            assert (await ada.next(ws))["content"] == "one"
        await until(lambda: app.rooms.population == 0)
        for i in range(500):
            await app.rooms.publish("kept/a", Chat(f"{i} {'x' * 1000}"))
        async with connect(server) as ws, connect(server) as other:
            assert (await ada.resume(ws))["recovered"] is True
            for i in range(500):
                assert (await ada.next(ws))["content"].startswith(f"{i} ")
            bob = Client()
            await bob.resume(other)
            await other.send('{"type":"Chat","content":"live"}')
            assert (await ada.next(ws))["content"] == "live"
            # In the same place for everybody.
            await app.rooms.publish("kept/a", Chat("end"))
            assert await ada.next(ws) == await bob.next(other)


async def test_in_the_other_format(run: Run) -> None:
    app = make()
    position = RoomPosition("kept/a")
    async with run(app) as server, connect(server, subprotocols=["msgpack"]) as ws:
        await ws.send(msgspec.msgpack.encode(Resume(position)))
        resumed = msgspec.msgpack.decode(await ws.recv(timeout=10))
        await app.rooms.publish("kept/a", Chat("hi"))
        said = msgspec.msgpack.decode(await ws.recv(timeout=10))
        assert said["content"] == "hi"
        assert said["position"] == resumed["position"] | {"number": 1}


async def test_a_room_without_a_history_ends_the_connection(run: Run) -> None:
    async with run(make()) as server, connect(server) as ws:
        with pytest.raises(Disconnected) as caught:
            await Client("other").resume(ws)
        assert (caught.value.code, caught.value.reason) == (1008, "this room has no history")


@pytest.mark.parametrize(
    "position",
    [{"room": 1}, {"room": "kept/a", "number": -1}, {"room": "kept/a", "epoch": "x" * 65}, {}],
)
async def test_what_is_no_position_is_answered(run: Run, position: Any) -> None:
    client = Client()
    client.position = position
    async with run(make()) as server, connect(server) as ws:
        answer = await client.resume(ws)
        assert (answer["type"], answer["path"].startswith("$.position")) == ("Error", True)


async def test_a_client_that_leaves_while_it_comes_back(run: Run) -> None:
    app, client = make(limits=Limits(max_write_buffer=1000)), Client()
    async with run(app) as server:
        async with connect(server) as ws:
            await client.resume(ws)
        for _ in range(300):
            await app.rooms.publish("kept/a", Chat("x" * 10_000))
        async with connect(server) as ws:
            assert (await client.resume(ws))["recovered"] is True
            ws.abort()
        await until(lambda: app.rooms.population == 0 and not app.rooms._catching)
        assert app.rooms.names() == []


async def test_what_is_large_comes_in_parts_while_others_speak(run: Run) -> None:
    app, client = make(limits=Limits(max_outbox_size=100_000)), Client()
    async with run(app) as server:
        async with connect(server) as ws:
            await client.resume(ws)
        for i in range(300):
            await app.rooms.publish("kept/a", Chat(f"{i} {'x' * 10_000}"))
        async with connect(server) as ws:
            assert (await client.resume(ws))["recovered"] is True
            for i in range(400):
                if i < 100:
                    await app.rooms.publish("kept/a", Chat(f"{300 + i} "))
                assert (await client.next(ws))["content"].startswith(f"{i} ")
