"""Which line the kit names when an app does not go on: the user's, in whatever framework."""

import asyncio
import linecache
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import starlette.applications
import starlette.endpoints
import starlette.routing
import starlette.websockets
from fastapi import Depends, FastAPI

import fastws
import fastws.app
from fastws.examples import echo
from fastws.rooms import broker_at
from fastws.testing import connect, get, lifespan
from fastws.testing.call import App, Receive, Send
from fastws.testing.stack import innermost
from tests.testing.apps import accepting

WAIT = 0.02
Act = Callable[[Receive, Send], Awaitable[Any]]


async def where(app: App) -> tuple[str, str]:
    """Return the file and the line that the kit names."""
    with pytest.raises(TimeoutError) as caught:
        async with connect(app, "/ws") as ws:
            await ws.expect(float, timeout=WAIT)
    return named(caught.value)


def named(error: TimeoutError) -> tuple[str, str]:
    found = re.search(r"; the app waits at (.+):(\d+), in \S+ \(waited", str(error))
    assert found is not None, error
    return found[1], linecache.getline(found[1], int(found[2])).strip()


# Bare ASGI.


async def in_a_helper(receive: Receive, send: Send) -> None:
    async def helper() -> None:
        while True:
            await receive()  # waits here

    await helper()


async def in_asyncio(receive: Receive, send: Send) -> None:
    async with asyncio.timeout(60):
        await asyncio.Event().wait()  # waits here


async def for_a_task(receive: Receive, send: Send) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    try:
        await asyncio.gather(task)  # waits here
    finally:
        task.cancel()


async def in_a_task_group(receive: Receive, send: Send) -> None:
    async with asyncio.TaskGroup() as group:  # waits here
        group.create_task(receive())


async def in_a_generator(receive: Receive, send: Send) -> None:
    async def events() -> AsyncIterator[Any]:
        while True:
            yield await receive()  # waits here

    async for _ in events():
        pass


async def in_a_context_manager(receive: Receive, send: Send) -> None:
    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        await asyncio.sleep(60)  # waits here
        yield

    async with slow():
        pass


@pytest.mark.parametrize(
    "act",
    [in_a_helper, in_asyncio, for_a_task, in_a_task_group, in_a_generator, in_a_context_manager],
)
async def test_bare_asgi(act: Act) -> None:
    path, line = await where(accepting(act))
    assert (path, line.endswith("# waits here")) == (__file__, True), line


# fastws.App.


async def iterating(ws: fastws.WebSocket[str]) -> None:
    async for _ in ws:  # waits here
        pass


async def receiving(ws: fastws.WebSocket[str]) -> None:
    while True:
        await ws.receive()  # waits here


async def sleeping(ws: fastws.WebSocket[str]) -> None:
    await asyncio.sleep(60)  # waits here


async def publishing(ws: fastws.WebSocket[str]) -> None:
    await ws.publish("tea", "for two")  # waits here


async def watching(ws: fastws.WebSocket[str]) -> None:
    async for _ in ws.events():  # waits here
        pass


@pytest.mark.parametrize(
    "handler",
    [iterating, receiving, publishing, sleeping, watching],
)
async def test_a_handler_of_fastws(handler: Callable[[Any], Awaitable[None]]) -> None:
    broker: Any = broker_at("redis://localhost")
    broker.connected = True  # and it takes nothing, ever
    app = fastws.App(broker=broker)

    @app.websocket("/ws")
    async def handle(ws: fastws.WebSocket[str]) -> None:
        await ws.accept()
        await handler(ws)

    path, line = await where(app)
    assert (path, line.endswith("# waits here")) == (__file__, True), line


async def test_a_page_and_a_lifespan_of_fastws() -> None:
    app = fastws.App()

    @app.lifespan
    @asynccontextmanager
    async def live(_: fastws.App) -> AsyncIterator[None]:
        await asyncio.sleep(60)  # waits here
        yield

    @app.get("/")
    async def page(_: Any) -> str:
        await asyncio.sleep(60)  # waits here
        return ""

    for opened in (get(app, timeout=WAIT), lifespan(app, WAIT).__aenter__()):
        with pytest.raises(TimeoutError) as caught:
            await opened
        path, line = named(caught.value)
        assert (path, line.endswith("# waits here")) == (__file__, True), line


async def test_an_example_is_an_app_like_others() -> None:
    path, line = await where(echo.app)
    assert (path, line) == (echo.__file__, "async for message in ws:")


# Other frameworks.


async def test_starlette() -> None:
    async def endpoint(ws: starlette.websockets.WebSocket) -> None:
        await ws.accept()
        async for _ in ws.iter_text():  # waits here
            pass

    app = starlette.applications.Starlette(
        routes=[starlette.routing.WebSocketRoute("/ws", endpoint)]
    )
    path, line = await where(app)
    assert (path, line.endswith("# waits here")) == (__file__, True), line


async def test_fastapi_with_a_dependency() -> None:
    async def wait_for_ever(ws: starlette.websockets.WebSocket) -> None:
        await ws.accept()
        await asyncio.sleep(60)  # waits here

    app = FastAPI()

    @app.websocket("/ws", dependencies=[Depends(wait_for_ever)])
    async def endpoint(ws: starlette.websockets.WebSocket) -> None:
        pass

    path, line = await where(app)
    assert (path, line.endswith("# waits here")) == (__file__, True), line


class Endpoint(starlette.endpoints.WebSocketEndpoint):
    """Waits in the framework, until there is a message."""

    encoding = "text"


class Busy(Endpoint):
    """Waits here, before there is a message."""

    async def on_connect(self, websocket: starlette.websockets.WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(60)  # waits here


async def test_an_endpoint_that_is_a_class() -> None:
    path, line = await where(Busy)
    assert (path, line.endswith("# waits here")) == (__file__, True), line


async def test_without_a_line_of_the_users_it_is_the_frameworks() -> None:
    path, line = await where(Endpoint)
    assert (path, line) == (starlette.websockets.__file__, "message = await self._receive()")


async def test_without_any_other_line_it_is_one_of_fastws() -> None:
    coroutine = fastws.App()({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    frame = innermost(coroutine)
    coroutine.close()
    assert frame is not None
    assert Path(frame.f_code.co_filename).parent == Path(fastws.app.__file__).parent
    assert innermost(asyncio.sleep) is None


async def test_without_a_line_it_names_none() -> None:
    with pytest.raises(TimeoutError, match=r"; the app waits \(waited"):
        await get(lambda *_: asyncio.sleep(60), timeout=WAIT)
