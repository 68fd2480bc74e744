"""Apps that share rooms through Redis or NATS, as several workers do."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

import msgspec
import pytest

import fastws
from fastws import App, BrokerUnavailable, Gap, HandshakeError, Limits, Message, WebSocket
from fastws.rooms.brokers import MemoryBroker, RemoteBroker
from fastws.testing import connect, get, lifespan
from tests.processes import Server
from tests.rooms.brokers.engines import ENGINES, Engine
from tests.server.serving import until


class Join(Message):
    room: str


class Joined(Message):
    room: str


class Chat(Message):
    content: str


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with ExitStack() as ends:
        server = ENGINES[request.param](ends)
        server.start()
        yield server


def make(broker: Any) -> App:
    """Makes what one worker runs."""
    app = App(broker=broker, limits=Limits(broker_timeout=1.0))

    @app.websocket("/chat", messages=Join | Chat)
    async def chat(ws: WebSocket[Join | Chat]) -> None:
        await ws.accept()
        async for message in ws:
            match message:
                case Join(room):
                    ws.join(room)
                    with suppress(BrokerUnavailable):
                        await app.rooms.settled()
                    await ws.send(Joined(room))
                case Chat():
                    for room in ws.rooms:
                        await ws.publish(room, message)

    @app.websocket("/plain")
    async def plain(ws: WebSocket[str]) -> None:
        await ws.accept()
        ws.join("room")
        async for message in ws:
            try:
                await ws.publish("room", message)
            except BrokerUnavailable as error:
                await ws.send(type(error).__name__)

    @app.websocket("/greet")
    async def greet(ws: WebSocket[Any]) -> None:
        await app.rooms.publish("room", "somebody comes")
        await ws.accept()

    return app


@pytest.fixture
async def workers(engine: Engine) -> AsyncIterator[list[App]]:
    apps = [make(engine.url) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(lifespan(app))
        yield apps


async def ready(app: App) -> int:
    return (await get(app, "/readyz")).status


async def metric(app: App, name: str) -> float:
    lines = (await get(app, "/metrics")).body.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_rooms_reach_across_workers(workers: list[App]) -> None:
    async with (
        connect(workers[0], "/chat") as ada,
        connect(workers[1], "/chat", subprotocols=["msgpack"]) as bob,
        connect(workers[1], "/chat") as eve,
    ):
        for ws in (ada, bob):
            await ws.send(Join("room"))
            await ws.expect(Joined)
        await eve.send(Join("Room"))
        await eve.expect(Joined)
        await ada.send(Chat("hi"))
        assert await bob.expect(Chat) == Chat("hi")
        await bob.send(Chat("hello"))
        assert await ada.expect(Chat) == Chat("hello")
        await workers[0].rooms.broadcast("to all")
        assert await eve.recv() == "to all"
        assert await bob.recv() == "to all"


async def test_an_engine_that_is_gone(engine: Engine, workers: list[App]) -> None:
    app = workers[0]
    async with (
        connect(app, "/chat") as ada,
        connect(app, "/chat") as bob,
        connect(app, "/plain") as eve,
    ):
        for ws in (ada, bob):
            await ws.send(Join("room"))
            await ws.expect(Joined)
        assert (await ready(app), await metric(app, "fastws_broker_connected")) == (200, 1)
        engine.kill()
        await until(lambda: not app.ready)
        assert (await ready(app), await metric(app, "fastws_broker_connected")) == (503, 0)
        assert (await get(app, "/healthz")).status == 200
        # One handler catches it, one does not; before the accept it is an answer.
        await eve.send("anybody?")
        assert await eve.recv() == "BrokerUnavailable"
        await ada.send(Chat("anybody?"))
        await until(lambda: ada.closed)
        assert ada.closed == (1013, "try again later")
        with pytest.raises(HandshakeError) as refused:
            async with connect(app, "/greet"):
                pass
        assert refused.value.status == 503
        engine.start()
        await until(lambda: app.ready and workers[1].ready)
        assert await ready(app) == 200
        assert {await bob.expect(Gap), await bob.expect(Gap)} == {Gap("room", None), Gap("", None)}
        await workers[1].rooms.publish("room", "we are back")
        # Who has no messages is not told, but counted.
        assert await bob.recv() == await eve.recv() == "we are back"
        assert await metric(app, "fastws_gaps_total") == 2


@pytest.mark.deep
async def test_workers_of_one_server(engine: Engine, serve: Callable[..., Server]) -> None:
    """Processes of their own; who is in which is chance."""
    server = serve("tests.app.everywhere:app", "--workers", "2", "--broker", engine.url)

    async def say(ws: fastws.ClientConnection, content: str) -> list[str]:
        """Says something; gives what has come until that was published."""
        found: list[str] = []
        await ws.send(msgspec.json.encode(Chat(content)).decode())
        while "done" not in found:
            found.append(await hear(ws))
        return found[:-1]

    async def hear(ws: fastws.ClientConnection) -> str:
        said: str = msgspec.json.decode(await ws.recv(timeout=20))["content"]
        return said

    async with AsyncExitStack() as stack:
        everybody = [
            await stack.enter_async_context(fastws.connect(server.url("/typed"))) for _ in range(12)
        ]
        for ws in everybody:
            await ws.send('{"type":"Join","room":"room"}')
            assert "Joined" in str(await ws.recv(timeout=20))
        # A worker that has published is subscribed as well.
        for ws in everybody:
            await say(ws, "first")
        heard = [await say(ws, f"second {i}") for i, ws in enumerate(everybody)]
        for i in range(2):
            heard[i] += await say(everybody[i], f"last {i}")
        for i, ws in enumerate(everybody):
            last = f"last {int(i == 0)}"
            while last not in heard[i]:
                heard[i].append(await hear(ws))
            second = [content for content in heard[i] if content.startswith("second")]
            assert sorted(second) == sorted(f"second {j}" for j in range(12) if j != i)


async def test_an_app_can_start_before_its_engine(engine: Engine) -> None:
    engine.kill()
    app = make(engine.url)
    async with lifespan(app), connect(app, "/chat") as ada:
        assert await ready(app) == 503
        await ada.send(Join("room"))
        assert await ada.expect(Joined) == Joined("room")
        engine.start()
        await until(lambda: app.ready)
        assert {await ada.expect(Gap), await ada.expect(Gap)} == {Gap("room", None), Gap("", None)}
        await app.rooms.publish("room", "hello")
        assert await ada.recv() == "hello"


def test_where_the_broker_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTWS_BROKER", raising=False)
    assert isinstance(App().rooms.broker, MemoryBroker)
    assert App().broker_url == "memory://"
    monkeypatch.setenv("FASTWS_BROKER", "nats://localhost")
    assert isinstance(App().rooms.broker, RemoteBroker)
    assert isinstance(App(broker="memory://").rooms.broker, MemoryBroker)
    broker = MemoryBroker()
    app = App(broker=broker)
    assert (app.rooms.broker, app.broker_url) == (broker, None)
    monkeypatch.setenv("FASTWS_BROKER", "carrier://pigeon")
    with pytest.raises(ValueError, match="carrier:// is no broker"):
        App()


async def test_ready_is_also_what_the_app_says() -> None:
    app = make("memory://")
    async with lifespan(app):
        assert (app.ready, await ready(app)) == (True, 200)
        app.ready = False
        assert (app.ready, await ready(app)) == (False, 503)
