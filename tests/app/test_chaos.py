"""Handlers, clients and the server do everything at any time; each end is one of those known."""

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import Any

import pytest

from fastws.app.app import App
from fastws.app.messages import Message
from fastws.app.websocket import WebSocket
from fastws.errors import Disconnected, HandshakeError, ProtocolError
from fastws.limits import Limits
from tests.app.conftest import Run
from tests.rooms.serving import turns
from tests.server.peer import PING, Peer, close, frame, tcp, text, upgrade
from tests.server.serving import Running, until

Socket = WebSocket[Any]


class Chat(Message):
    content: str


# Whatever a call may raise in some state; anything else is a fault of ours.
KNOWN = (Disconnected, ProtocolError, HandshakeError, TimeoutError, NotImplementedError)


class Chaos:
    """An app whose handlers act by chance.

    Attributes:
        faults: what was raised that nobody has to expect.
    """

    def __init__(self, seed: int, sent: list[bytes]) -> None:
        self.random = random.Random(seed)
        self.sent = sent
        self.faults: list[BaseException] = []
        limits = Limits(max_outbox_messages=20, max_rooms=3, close_timeout=0.05)
        self.app = App(limits=limits)
        self.app.websocket("/typed", messages=Chat)(self.handle)
        self.app.websocket("/plain")(self.handle)

    async def handle(self, ws: Socket) -> None:
        """Accepts, or not, and has several tasks use the connection."""
        with suppress(HandshakeError):
            ws.identify(str(self.random.randrange(3)))
        if self.random.random() < 0.1:
            raise self.random.choice([HandshakeError(403, "no"), ProtocolError(4000, "no")])
        await ws.accept()
        tasks = [asyncio.create_task(self.use(ws)) for _ in range(self.random.randrange(1, 5))]
        if self.random.random() < 0.5:
            await asyncio.wait(tasks)
        else:
            # They go on after the handler's end, or are cancelled by somebody.
            await turns(self.random.randrange(10))
            self.random.choice(tasks).cancel()
        if self.random.random() < 0.2:
            raise ZeroDivisionError

    async def use(self, ws: Socket) -> None:
        """Does something, again and again."""
        for _ in range(self.random.randrange(1, 30)):
            try:
                await self.step(ws)
            except KNOWN:
                if self.random.random() < 0.5:
                    return
            except Exception as error:
                self.faults.append(error)
                raise

    async def step(self, ws: Socket) -> None:
        """Does one thing."""
        pick = self.random.random
        room = self.random.choice("abcd")
        match self.random.randrange(16):
            case 0 | 1:
                await asyncio.wait_for(ws.receive(), 0.001)
            case 2:
                async for _ in ws:
                    if pick() < 0.3:
                        break
            case 3:
                async for _ in ws.events():
                    if pick() < 0.3:
                        break
            case 4 | 5:
                await ws.send("x" * self.random.choice([1, 10, 10_000]))
            case 6:
                await ws.send(Chat("y"))
            case 7:
                ws.join(room)
            case 8:
                ws.leave(room)
            case 9 | 10:
                await ws.publish(room, self.random.choice(["z", b"z", Chat("z")]))
            case 11:
                await self.app.rooms.broadcast("to all")
            case 12:
                with suppress(NotImplementedError):
                    await asyncio.wait_for(ws.ping(), 0.001)
            case 13:
                ws.expire_at(self.random.choice([None, time.time() + 100, time.time()]))
            case 14 if pick() < 0.3:
                await ws.close(4000, "bye")
            case 15 if pick() < 0.3:
                ws.close_soon(4001, "kicked")
            case _:
                await asyncio.sleep(0)

    async def visit(self, server: Running) -> None:
        """Is a client that acts by chance, too."""
        async with tcp(server.address) as peer:
            with suppress(OSError, EOFError):
                await self.talk(peer)

    async def talk(self, peer: Peer) -> None:
        """Opens a WebSocket, or not quite, sends this and that, and ends in some way."""
        pick = self.random.random
        await peer.send(upgrade(self.random.choice(["/typed", "/plain"])))
        if pick() < 0.9:
            await peer.head()
        for _ in range(self.random.randrange(20)):
            await peer.send(self.random.choice(self.sent))
            if pick() < 0.5:
                await asyncio.sleep(0)
            if pick() < 0.5:
                with suppress(BlockingIOError):
                    peer.socket.recv(65536)
        match self.random.randrange(4):
            case 0:
                await peer.send(close(1000))
            case 1:
                peer.reset()
            case 2:
                peer.finish()


SENT = [
    text('{"type":"Chat","content":"x"}'),
    text('{"type":"Chat","content":"x"}') * 50,
    text("nonsense"),
    text("x" * 5000),
    frame(2, b"\xff"),
    frame(PING, b"?"),
]
# After these, uvicorn's own class may wait for its close_timeout of ten seconds.
WRONG = [frame(1, b"\xff"), frame(7), close(1000)]


@pytest.mark.parametrize("seed", range(4))
async def test_everything_at_any_time(
    seed: int, run: Run, server_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    chaos = Chaos(seed, SENT + WRONG if server_kind == "fastws" else SENT)
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    tasks = len(asyncio.all_tasks())
    async with run(chaos.app) as server:
        for _ in range(10):
            await asyncio.gather(*(chaos.visit(server) for _ in range(20)))
        await server.emptied()
        await until(lambda: len(asyncio.all_tasks()) == tasks)
    assert chaos.faults == []
    assert [c for c in unhandled if not isinstance(c.get("exception"), KNOWN)] == []
    assert not chaos.app.rooms.names()
    assert chaos.app.rooms.population == 0
    for route in chaos.app._websockets._plain.values():
        assert (route.admission.total, +route.admission.clients) == (0, {})
        assert not +route.admission.users
    bugs = [r for r in caplog.records if r.exc_info and r.levelno >= logging.ERROR]
    assert {r.exc_info[0] for r in bugs if r.exc_info} <= {ZeroDivisionError}
