"""The kit with an `App`: what people test with it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import jwt
import msgspec
import pytest

from fastws import App, Disconnected, Error, HandshakeError, Message, WebSocket
from fastws.app.auth import JWT
from fastws.app.http import Request
from fastws.limits import KIB, Limits
from fastws.testing import Client, Clock, connect, get, lifespan

SECRET = "0123456789abcdef0123456789abcdef"


class Chat(Message):
    content: str


class Said(Message):
    user: str
    content: str


class Claims(msgspec.Struct):
    sub: str


def chat(**options: Any) -> App:
    """Makes an app with one room."""
    app = App(**options)

    @app.websocket("/chat/{user}", messages=Chat)
    async def talk(ws: WebSocket[Chat]) -> None:
        await ws.accept()
        ws.join("lobby")
        async for message in ws:
            await ws.publish("lobby", Said(ws.path_params["user"], message.content))

    return app


async def test_everybody_but_the_sender_in_the_format_of_each() -> None:
    app = chat()
    async with (
        connect(app, "/chat/Ada") as ada,
        connect(app, "/chat/Bob", subprotocols=["msgpack"]) as bob,
        connect(app, "/chat/Cy") as cy,
    ):
        for sender, name in ((ada, "Ada"), (bob, "Bob"), (cy, "Cy")):
            await sender.send(Chat("hi"))
            for other in {ada, bob, cy} - {sender}:
                assert await other.expect(Said) == Said(name, "hi")
            await sender.expect_nothing()
    assert app.rooms.count("lobby") == 0


async def test_a_bad_message_has_a_typed_answer() -> None:
    async with connect(chat(), "/chat/Ada") as ada, connect(chat(), "/chat/Bob") as bob:
        await ada.send({"type": "Chat", "content": 1})
        assert (await ada.expect(Error)).path == "$.content"
        await bob.expect_nothing()


async def test_a_refusal_has_its_reason() -> None:
    with pytest.raises(HandshakeError) as caught:
        async with connect(chat(), "/elsewhere"):
            pass
    assert caught.value.status == 404
    assert msgspec.json.decode(caught.value.body)["detail"] == "no such WebSocket"


async def test_a_bug_is_1011(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.websocket("/bug")
    async def bug(ws: WebSocket[str]) -> None:
        await ws.accept()
        raise ZeroDivisionError

    async with connect(app, "/bug") as ws:
        assert await ws.expect_close() == (1011, "internal error")
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "fastws.app"


@asynccontextmanager
async def behind(policy: Any) -> AsyncIterator[Client]:
    """Gives a member who has not read any of far more than its outbox holds."""
    app = chat(limits=Limits(max_outbox_size=100 * KIB), policy=policy)
    async with connect(app, "/chat/Ada") as ada, connect(app, "/chat/Bob") as bob:
        for _ in range(50):
            await ada.send(Chat("x" * 10 * KIB))
            await ada.expect_nothing()
        yield bob


async def test_a_slow_consumer_has_to_go() -> None:
    read = 0
    async with behind("disconnect") as bob:
        with pytest.raises(Disconnected) as caught:  # noqa: PT012
            while True:
                await bob.recv()
                read += 1
    assert (caught.value.code, caught.value.reason) == (1008, "slow consumer")
    assert 5 <= read < 20


async def test_a_slow_consumer_misses_something() -> None:
    said = lost = 0
    async with behind("drop-newest") as bob:
        while said + lost < 50:
            message = json.loads(await bob.recv())
            said += message["type"] == "Said"
            lost += message.get("lost", 0)
    assert said >= 15
    assert lost > 0


async def test_startup_shutdown_and_pages() -> None:
    app = App()
    log: list[str] = []

    @app.lifespan
    @asynccontextmanager
    async def life(_: App) -> AsyncIterator[dict[str, Any]]:
        log.append("up")
        yield {"log": log}
        log.append("down")

    @app.get("/log")
    async def page(request: Request) -> Any:
        return request.scope["state"]["log"]

    async with lifespan(app) as started:
        assert (await get(started, "/healthz")).status == 200
        found = await get(started, "/log")
        assert found.headers["content-type"] == "application/json"
        assert msgspec.json.decode(found.body) == ["up"]
    assert log == ["up", "down"]


class TestInTime:
    @pytest.fixture
    def anyio_backend(self) -> str:
        """Asyncio's own event loop, since the clock needs it."""
        return "asyncio"

    async def test_a_token_expires(self) -> None:
        """To the second, however much time has gone by."""
        with Clock() as clock:
            auth = JWT(SECRET, algorithms=["HS256"], clock=clock.time)

            async def app(scope: Any, receive: Any, send: Any) -> None:
                ws: WebSocket[str] = WebSocket(scope, receive, send, clock=clock.time)
                async with ws:
                    auth(ws, Claims)
                    await ws.accept()
                    async for message in ws:
                        await ws.send(message)

            token = jwt.encode({"sub": "Ada", "exp": clock.time() + 7200}, SECRET)
            headers = {"Authorization": f"Bearer {token}"}
            await clock.advance(3600)
            async with connect(app, headers=headers) as ws:
                await clock.advance(3599)
                await ws.expect_nothing()
                await clock.advance(1)
                assert (await ws.expect_close())[0] == 4401
            with pytest.raises(HandshakeError) as caught:
                async with connect(app, headers=headers):
                    pass
            assert caught.value.status == 401

    async def test_an_idle_member_has_to_go(self) -> None:
        app = App()

        @app.websocket("/idle")
        async def idle(ws: WebSocket[str]) -> None:
            await ws.accept()
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(60):
                        message = await ws.receive()
                    await ws.send(message)
            await ws.close(4000, "idle")

        with Clock() as clock:
            async with connect(app, "/idle") as ws:
                for _ in range(3):
                    await clock.advance(59)
                    await ws.send("x")
                    assert await ws.recv() == "x"
                await clock.advance(59)
                await ws.expect_nothing()
                await clock.advance(1)
                assert await ws.expect_close() == (4000, "idle")
