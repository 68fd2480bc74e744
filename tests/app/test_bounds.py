"""What a client may cost, on our server and on plain uvicorn; and that it costs nobody else."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fastws.app.app import App
from fastws.app.messages import Message
from fastws.app.websocket import WebSocket
from fastws.errors import Disconnected
from fastws.limits import Limits
from tests.app.conftest import Run, connect
from tests.app.test_app import refused
from tests.app.test_ends import serving
from tests.server.peer import BINARY, CONTINUATION, PING, TEXT, connected, frame, text
from tests.server.serving import Running, until

Socket = WebSocket[Any]


class Chat(Message):
    content: str


async def echo(ws: Socket) -> None:
    await ws.accept()
    async for message in ws:
        await ws.send(message)


async def echo_one_by_one(ws: Socket) -> None:
    await ws.accept()
    while True:
        await ws.send(await ws.receive())


async def echo_events(ws: Socket) -> None:
    await ws.accept()
    async for event in ws.events():
        await ws.send(getattr(event, "text", None) or getattr(event, "data", "end"))


@pytest.mark.parametrize("handler", [echo, echo_one_by_one, echo_events])
@pytest.mark.parametrize(
    ("opcode", "payload"),
    [
        (TEXT, b"x" * 100),
        (BINARY, b"\xff" * 100),
        (TEXT, "é".encode() * 50),
        (TEXT, "\U0001f600".encode() * 25),
    ],
)
async def test_the_size_of_a_message_is_in_bytes(
    handler: Any, opcode: int, payload: bytes, run: Run
) -> None:
    app = serving(handler, limits=Limits(max_message_size=100))
    async with run(app) as server:
        async with connected(server.address) as peer:
            await peer.send(frame(opcode, payload))
            assert (await peer.frame()).payload == payload
            pieces = [payload[:33], payload[33:66], payload[66:]]
            await peer.send(
                frame(opcode, pieces[0], fin=False),
                frame(CONTINUATION, pieces[1], fin=False),
                frame(CONTINUATION, pieces[2]),
            )
            assert (await peer.frame()).payload == payload
            await peer.send(frame(opcode, payload + b"x"))
            assert (await peer.closed())[0] == 1009
        await server.emptied()


@pytest.mark.parametrize("size", [101, 20_000_000])
async def test_what_a_bomb_inflates_to_counts(size: int, run: Run) -> None:
    app = serving(echo, limits=Limits(max_message_size=100))
    async with run(app) as server, connect(server, compression=True) as ws:
        assert ws.compression is not None
        await ws.send("x" * 100)
        assert await ws.recv(timeout=5) == "x" * 100
        await ws.send("x" * size)
        with pytest.raises(Disconnected) as caught:
            await ws.recv(timeout=5)
    assert caught.value.code == 1009


@pytest.mark.parametrize("handler", [echo, echo_one_by_one, echo_events])
async def test_rates(handler: Any, run: Run) -> None:
    for limits in (Limits(max_message_rate=5), Limits(max_byte_rate=5)):
        app = serving(handler, limits=limits)
        async with run(app) as server, connected(server.address) as peer:
            await peer.send(*(frame(PING, b"x") for _ in range(50)))
            await peer.send(*(text("x") for _ in range(15)))
            texts = 0
            while (found := await peer.frame()).opcode != 8:
                texts += found.opcode == TEXT
            assert found.closing()[0] == 1008
            # What came with the one too many may have been answered, or not.
            assert texts <= 10


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a" * 200, 1000),
        ("a" * 201, 1008),
        ("é" * 100, 1000),
        ("é" * 100 + "a", 1008),
        ("", 1008),
        ("\0", 1008),
        ("a\0", 1000),
        ("a\r\nb\u2028\x1b[31m", 1000),
        ("\ud800", 1008),
        (b"a", 1011),
        (None, 1011),
        (["a"], 1011),
    ],
)
async def test_names_of_rooms(name: Any, code: int, run: Run) -> None:
    heard = []

    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.join(name)
        heard.append(sorted(ws.rooms))
        await app.rooms.publish(name, "heard")
        assert app.rooms.names() == [name]

    app = serving(act)
    async with run(app) as server, connect(server) as ws:
        found = [message async for message in ws]
        assert ws.close_code == code
        await server.emptied()
    assert found == (["heard"] if code == 1000 else [])
    assert heard == ([[name]] if code == 1000 else [])
    assert not app.rooms.names()


async def test_as_many_rooms_as_allowed_and_not_one_more(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        for i in range(64):
            ws.join(str(i))
        ws.join("0")
        ws.leave("1")
        ws.join("64")
        assert len(ws.rooms) == 64
        await ws.send("64")
        ws.join("65")

    app = serving(act)
    async with run(app) as server, connect(server) as ws:
        assert await ws.recv(timeout=5) == "64"
        with pytest.raises(Disconnected) as caught:
            await ws.recv(timeout=5)
        assert (caught.value.code, caught.value.reason) == (1008, "over 64 rooms")
        await server.emptied()
    assert not app.rooms.names()


async def test_bad_messages_up_to_the_limit(run: Run) -> None:
    app = serving(echo, messages=Chat, limits=Limits(max_bad_messages=1))
    async with run(app) as server, connect(server) as ws:
        await ws.send("bad")
        with pytest.raises(Disconnected) as caught:
            await ws.recv(timeout=5)
    assert caught.value.code == 1008


async def test_over_a_unix_socket_nobody_is_one_client(run: Run, socket_path: Path) -> None:
    app = serving(echo, limits=Limits(max_connections=2, max_connections_per_client=1))
    async with run(app, uds=str(socket_path)) as server:
        async with connected(str(socket_path)) as one, connected(str(socket_path)) as two:
            for peer in (one, two):
                await peer.send(text("x"))
                await peer.frame()
            with pytest.raises(AssertionError, match="status=503"):
                async with connected(str(socket_path)):
                    pass
        await server.emptied()
        async with connected(str(socket_path)):
            pass


async def test_who_says_whose_connection_it_is(run: Run) -> None:
    app = serving(echo, limits=Limits(max_connections_per_client=1))
    async with run(app, forwarded_allow_ips="10.0.0.1") as server, connect(server) as ws:
        await ws.send("x")
        await ws.recv(timeout=5)
        # Nobody here is a proxy that is trusted.
        forged = {"X-Forwarded-For": "192.0.2.1"}
        assert (await refused(server, headers=forged))[0] == 429


# Nobody else.


class Turns:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.count = 0
        self.loop = asyncio.get_running_loop()
        self.turn()

    def turn(self) -> None:
        """Is called in each of them."""
        self.count += 1
        self.handle = self.loop.call_soon(self.turn)


@pytest.mark.deep
@pytest.mark.parametrize("what", ["echo", "nonsense", "joins", "floods the room", "bug"])
async def test_a_flood_does_not_keep_others_waiting(what: str, run: Run) -> None:
    """Between a message of somebody else and its answer, there are few turns of the loop."""
    limits = Limits(max_bad_messages=None)
    app = App(limits=limits)
    stop = asyncio.Event()

    @app.websocket("/bad", messages=Chat)
    async def bad(ws: WebSocket[Chat]) -> None:
        await ws.accept()
        async for message in ws:
            match what:
                case "echo":
                    await ws.send(message)
                case "joins":
                    ws.join("a")
                    ws.leave("a")
                case "floods the room":
                    await ws.publish("room", message)
                case "bug":
                    raise ZeroDivisionError

    @app.websocket("/good")
    async def good(ws: Socket) -> None:
        await ws.accept()
        ws.join("room" if what != "floods the room" else "another")
        async for message in ws:
            await ws.send(message)

    payload = text("nonsense" if what == "nonsense" else '{"content":"x"}') * 300

    async def flood(server: Running) -> None:
        while not stop.is_set():
            async with connected(server.address, "/bad") as peer:
                with suppress(OSError):
                    while not stop.is_set():
                        peer.send_some(payload)
                        if what in ("echo", "nonsense"):
                            await peer.fill()
                            peer.buffer.clear()
                        else:
                            await asyncio.sleep(0)

    async with run(app) as server, connected(server.address, "/good") as peer:
        floods = [asyncio.create_task(flood(server)) for _ in range(3)]
        await until(lambda: len(server.connections) > 3 or what == "bug")
        turns, waits = Turns(), []
        for i in range(30):
            before = turns.count
            await peer.send(text(str(i)))
            assert (await peer.frame()).payload == str(i).encode()
            waits.append(turns.count - before)
        stop.set()
        turns.handle.cancel()
        await asyncio.wait(floods)
    assert max(waits) <= 10, waits
