"""Fixtures for pytest: ``pytest_plugins = ["fastws.testing.plugin"]``, or nothing if installed.

They need something that runs tests which are coroutines: anyio's plugin (on asyncio) or
pytest-asyncio, in any of their modes.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import pytest

from fastws.testing.client import Client
from fastws.testing.client import connect as connect_to
from fastws.testing.clock import Clock
from fastws.testing.server import Server
from fastws.testing.server import serve as serve_app

Connect = Callable[..., Awaitable[Client]]
Serve = Callable[..., Awaitable[Server]]

_STACK = pytest.StashKey[AsyncExitStack]()
_CLOCK = pytest.StashKey[Clock]()


@pytest.fixture
def connect(_fastws_stack: AsyncExitStack) -> Connect:
    """Opens WebSockets to an app, which are closed at the end of the test.

        async def test_echo(connect):
            ws = await connect(app, "/ws")
            await ws.send("hello")
            assert await ws.recv() == "hello"

    It takes what `fastws.testing.connect` takes.
    """

    @functools.wraps(connect_to)
    async def opened(*args: Any, **options: Any) -> Client:
        return await _fastws_stack.enter_async_context(connect_to(*args, **options))

    return opened


@pytest.fixture
def serve(_fastws_stack: AsyncExitStack) -> Serve:
    """Serves apps on ports of their own until the end of the test.

        async def test_an_unmasked_frame(serve):
            server = await serve(app)
            async with server.peer("/ws") as peer:
                await peer.send_frame(TEXT, b"hi", masked=False)
                assert (await peer.recv_frame()).closing()[0] == 1002

    It takes what `fastws.testing.serve` takes.
    """

    @functools.wraps(serve_app)
    async def started(*args: Any, **options: Any) -> Server:
        return await _fastws_stack.enter_async_context(serve_app(*args, **options))

    return started


@pytest.fixture
def clock(_fastws_stack: AsyncExitStack, request: pytest.FixtureRequest) -> Clock:
    """The time of the test's event loop: it stands still, until the test moves it.

        async def test_heartbeat(connect, clock):
            ws = await connect(app, "/heartbeat")
            await clock.advance(20)
            await ws.expect(Beat)

    See `fastws.testing.Clock`.
    """
    clock = Clock()
    request.node.stash[_CLOCK] = clock
    return clock


@pytest.fixture
def _fastws_stack(request: pytest.FixtureRequest) -> AsyncExitStack:
    stack = AsyncExitStack()
    request.node.stash[_STACK] = stack
    return stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Has the test itself close what the fixtures opened, so that what fails then is the test.

    It happens in the event loop and the task of the test, whichever plugin made them; a fixture
    would have to know which that is.
    """
    stack = item.stash.get(_STACK, None)
    if stack is None or not isinstance(item, pytest.Function):
        return (yield)
    test = item.obj
    if not inspect.iscoroutinefunction(test):
        pytest.fail("connect, serve and clock are for tests that are coroutines", pytrace=False)
    clock = item.stash.get(_CLOCK, None) or nullcontext()

    @functools.wraps(test)
    async def closing(**arguments: Any) -> None:
        async with stack:
            with clock:
                await test(**arguments)

    item.obj = closing
    try:
        return (yield)
    finally:
        item.obj = test
