"""Handlers of an App when the server shuts down, on ours and on plain uvicorn."""

import asyncio
from typing import Any

import pytest

from fastws.app.app import App
from fastws.app.websocket import WebSocket
from fastws.errors import Disconnected
from fastws.limits import Limits
from tests.app.conftest import Run, connect
from tests.app.test_app import handled
from tests.app.test_ends import serving
from tests.server.peer import Peer, upgrade
from tests.server.serving import until

Socket = WebSocket[Any]

QUICK = Limits(drain_window=0.05, close_timeout=0.05)


async def receives(ws: Socket) -> None:
    while True:
        await ws.receive()


async def iterates(ws: Socket) -> None:
    async for _ in ws:
        pass


async def waits_for_something_else(ws: Socket) -> None:
    await asyncio.Event().wait()


async def swallows_its_cancellation(ws: Socket) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await ws.send("never mind")
    await ws.receive()


async def cleans_up(ws: Socket) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        await ws.send("bye")


async def has_tasks(ws: Socket) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(receives(ws))
        group.create_task(waits_for_something_else(ws))


HANDLERS = [
    receives,
    iterates,
    waits_for_something_else,
    swallows_its_cancellation,
    cleans_up,
    has_tasks,
]


@pytest.mark.parametrize("handler", HANDLERS)
async def test_clients_are_told_and_nothing_stays(
    handler: Any, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(ws: Socket) -> None:
        ws.identify("ada")
        await ws.accept()
        ws.join("a")
        await ws.send("ready")
        await handler(ws)

    app = serving(act, limits=QUICK)
    # What does not end by itself is cancelled at once.
    async with run(app, timeout_graceful_shutdown=0) as server, connect(server) as ws:
        assert await ws.recv(timeout=5) == "ready"
        await server.shut_down()
        async for _ in ws:
            pass
        assert ws.close_code in (1001, 1012)
        await server.emptied()
    assert not app.rooms.names()
    (route,) = app._websockets._plain.values()
    assert (route.admission.total, +route.admission.users) == (0, {})
    assert handled(caplog) == []


async def test_a_client_that_is_not_accepted_yet_is_refused(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    arrived = asyncio.Event()

    async def act(ws: Socket) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with run(serving(act), timeout_graceful_shutdown=0) as server:
        peer = await Peer.connect(server.address)
        await peer.send(upgrade())
        await arrived.wait()
        await server.shut_down()
        assert (await peer.gone()).startswith(b"HTTP/1.1 50")
        peer.close()
        await server.emptied()
    assert handled(caplog) == []


async def test_the_end_of_the_process_passes_through(run: Run) -> None:
    """KeyboardInterrupt and SystemExit are nothing that a handler has to say to its client."""
    raised: list[BaseException] = []

    class Stop(BaseException):
        pass

    app = App()

    @app.websocket("/ws")
    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.join("a")
        await ws.receive()
        raise Stop

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Stop as error:
            raised.append(error)

    async with run(outer) as server, connect(server) as ws:
        await ws.send("x")
        with pytest.raises(Disconnected) as caught:
            await ws.recv(timeout=5)
        assert caught.value.code == 1001
        await until(lambda: raised)
    assert not app.rooms.names()
