"""Nothing of a connection of an App stays: not in maps, not as a task, not for the collector."""

import asyncio
import gc
import logging
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from fastws.app.app import App
from fastws.app.messages import Message
from fastws.app.websocket import WebSocket
from fastws.errors import HandshakeError, ProtocolError
from fastws.limits import Limits
from tests.app.conftest import Run
from tests.rooms.serving import all_payloads
from tests.server.peer import Peer, close, connected, frame, tcp, text, upgrade
from tests.server.serving import Running, fds, until

Socket = WebSocket[Any]
Act = Callable[[Socket], Awaitable[Any]]
Behave = Callable[[Peer], Awaitable[None]]


class Chat(Message):
    content: str


async def iterates(ws: Socket) -> None:
    async for message in ws:
        await ws.publish("a", message)


async def receives(ws: Socket) -> None:
    while True:
        await ws.receive()


async def leaves_the_loop(ws: Socket) -> None:
    async for _ in ws:
        break
    await ws.receive()


async def watches(ws: Socket) -> None:
    async for _ in ws.events():
        pass


async def returns(ws: Socket) -> None:
    pass


async def raises(ws: Socket) -> None:
    raise ZeroDivisionError


async def raises_a_code(ws: Socket) -> None:
    raise ProtocolError(4000, "no")


async def closes(ws: Socket) -> None:
    await ws.close(4000, "bye")


async def is_kicked(ws: Socket) -> None:
    ws.close_soon(4000, "kicked")
    await receives(ws)


async def expires(ws: Socket) -> None:
    ws.expire_at(time.time())
    await receives(ws)


async def never_expires(ws: Socket) -> None:
    ws.expire_at(time.time() + 3600)


async def is_cancelled(ws: Socket) -> None:
    # No name for the task: a traceback has all names of the frames.
    asyncio.current_task().cancel()  # type: ignore[union-attr]
    await asyncio.sleep(60)


async def times_out(ws: Socket) -> None:
    for _ in range(3):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.0001):
                await ws.receive()
    await receives(ws)


async def shares_it(ws: Socket) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(receives(ws))
        group.create_task(receives(ws))


ACTS: list[Act] = [
    iterates,
    receives,
    leaves_the_loop,
    watches,
    returns,
    raises,
    raises_a_code,
    closes,
    is_kicked,
    expires,
    never_expires,
    is_cancelled,
    times_out,
]
# `asyncio.TaskGroup` makes circles of its own until Python 3.13.
EVERY_ACT = [*ACTS, shares_it]


async def says_goodbye(peer: Peer) -> None:
    await peer.send(text('{"content":"x"}'), close(1000))
    await peer.gone()


async def vanishes(peer: Peer) -> None:
    await peer.send(text('{"content":"x"}'))
    peer.reset()


async def talks_nonsense(peer: Peer) -> None:
    await peer.send(*[text("nonsense")] * 5)
    await peer.send(close(1000))
    await peer.gone()


async def breaks_a_rule(peer: Peer) -> None:
    await peer.send(frame(7))
    await peer.gone()


BEHAVIOURS: list[Behave] = [says_goodbye, vanishes, talks_nonsense, breaks_a_rule]


async def stays_silent(peer: Peer) -> None:
    await all_payloads(peer)
    # Some would wait for that for ten seconds.
    await peer.send(close(1000))
    await peer.gone()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(
    "behave",
    [
        says_goodbye,
        *(pytest.param(way, marks=pytest.mark.deep) for way in (*BEHAVIOURS[1:], stays_silent)),
    ],
)
@pytest.mark.parametrize("act", ACTS)
async def test_a_websocket_is_freed(act: Act, behave: Behave, run: Run) -> None:
    left: list[weakref.ref[Any]] = []
    app = App()

    @app.websocket("/ws", messages=Chat)
    async def handler(ws: Socket) -> None:
        await ws.accept()
        ws.identify("ada")
        ws.join("a")
        member = ws._member
        left.extend(map(weakref.ref, (ws, member)))
        del member
        await act(ws)

    silence = 0.05 if behave is stays_silent else None
    async with run(app, ws_ping_interval=silence, ws_ping_timeout=silence) as server:
        async with connected(server.address) as peer:
            with suppress(ConnectionError):
                await behave(peer)
        await server.emptied()
        await until(lambda: left and not any(ref() for ref in left))


class Params(msgspec.Struct):
    n: int


async def asks(ws: Socket) -> None:
    ws.query(Params)


async def refuses(ws: Socket) -> None:
    raise HandshakeError(403, "no")


async def denies(ws: Socket) -> None:
    await ws.deny(404, "no")


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("act", [asks, refuses, denies, raises, returns, is_cancelled])
async def test_a_websocket_that_was_not_accepted_is_freed(act: Act, run: Run) -> None:
    left: list[weakref.ref[Any]] = []
    app = App()

    @app.websocket("/ws")
    async def handler(ws: Socket) -> None:
        left.append(weakref.ref(ws))
        ws.identify("ada")
        await act(ws)

    async with run(app) as server:
        async with tcp(server.address) as peer:
            await peer.send(upgrade("/ws?n=x"))
            assert (await peer.head()).status >= 400
        await server.emptied()
        await until(lambda: left and not any(ref() for ref in left))


class Crowd:
    """An app whose routes end connections in every way, and its clients."""

    def __init__(self) -> None:
        limits = Limits(max_connections=10_000, max_connections_per_client=10_000)
        self.app = App(limits=limits.replace(max_connections_per_user=10_000))
        for act in EVERY_ACT:
            self.app.websocket(f"/{act.__name__}/{{i}}", messages=Chat)(_entering(act))
        self.app.websocket("/refuses/{i}")(_refusing)

    async def visit(self, server: Running, i: int) -> None:
        """Comes and goes as the number says."""
        names = [*(act.__name__ for act in EVERY_ACT), "refuses"]
        name = names[i % len(names)]
        behave = BEHAVIOURS[i // len(names) % len(BEHAVIOURS)]
        peer = await Peer.connect(server.address)
        with suppress(ConnectionError, EOFError):
            await peer.send(upgrade(f"/{name}/{i}", [(b"x-forwarded-for", _address(i))]))
            head = await peer.head()
            if head.status == 101:
                await behave(peer)
            else:
                await peer.gone()
        peer.close()

    async def visits(self, server: Running, count: int) -> tuple[int, Counter[type]]:
        """Has so many come, some at a time, and counts what is there when they have gone."""
        tasks = len(asyncio.all_tasks())
        for start in range(0, count, 50):
            await asyncio.gather(*(self.visit(server, i) for i in range(start, start + 50)))
        await server.emptied()
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        files = fds()  # and collects
        return files, Counter(map(type, gc.get_objects()))

    def is_empty(self) -> bool:
        """Whether all that is counted is back at nothing."""
        routes = [route for _, route in self.app._websockets._patterns]
        return not (
            any(r.admission.total or r.admission.clients or r.admission.users for r in routes)
            or self.app.rooms.names()
            or self.app.rooms.population
        )


def _address(i: int) -> bytes:
    return b"10.%d.%d.%d" % (i >> 16 & 255, i >> 8 & 255, i & 255)


def _entering(act: Act) -> Callable[[Socket], Awaitable[None]]:
    async def handler(ws: Socket) -> None:
        i = ws.path_params["i"]
        ws.identify(f"user-{i}")
        await ws.accept()
        for room in ("all", f"own-{i}", f"some-{int(i) % 20}"):
            ws.join(room)
        await act(ws)

    return handler


async def _refusing(ws: Socket) -> None:
    ws.identify(ws.path_params["i"])
    raise HandshakeError(403, "no")


@pytest.mark.deep
async def test_thousands_of_connections_that_end_in_every_way_leave_nothing(run: Run) -> None:
    crowd = Crowd()
    logging.disable()
    try:
        async with run(crowd.app, forwarded_allow_ips="*") as server:
            before, after = await crowd.visits(server, 300), await crowd.visits(server, 2000)
            assert crowd.is_empty()
    finally:
        logging.disable(logging.NOTSET)
    assert after[0] == before[0]
    grown = after[1] - before[1]
    assert {kind: count for kind, count in grown.items() if count > 100} == {}
