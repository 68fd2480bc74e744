"""`expect_nothing`: not for some time, but until there is nothing left that could send."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.lowlevel
import pytest

from fastws.testing import connect
from fastws.testing.call import App, Receive, Send
from fastws.testing.waiting import settle
from tests.testing.apps import accepting, echo, sending, text

Step = Callable[[], Awaitable[Any]]


async def turns() -> None:
    """Takes many turns of the event loop, as a chain of tasks does."""
    for _ in range(50):
        await asyncio.create_task(asyncio.sleep(0))


async def futures() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(50):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def queues() -> None:
    one: asyncio.Queue[int] = asyncio.Queue()
    two: asyncio.Queue[int] = asyncio.Queue()

    async def forward() -> None:
        for _ in range(50):
            two.put_nowait(await one.get())

    async with asyncio.TaskGroup() as group:
        group.create_task(forward())
        for i in range(50):
            one.put_nowait(i)
            assert await two.get() == i


async def due_timers() -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0, done.set)
    await done.wait()


STEPS: list[Step] = [turns, futures, queues, due_timers]


def after(step: Step, helper: bool) -> App:
    """Makes an app that answers each message after a while, itself or by a helper task."""

    async def act(receive: Receive, send: Send) -> None:
        async def answer() -> None:
            await step()
            await send(text("late"))

        async with asyncio.TaskGroup() as group:
            while (await receive())["type"] == "websocket.receive":
                if helper:
                    group.create_task(answer())
                else:
                    await answer()

    return accepting(act)


async def test_nothing() -> None:
    async with connect(echo) as ws:
        await ws.expect_nothing()
        await ws.send("x")
        assert await ws.recv() == "x"
        await ws.expect_nothing()


@pytest.mark.parametrize("helper", [False, True])
@pytest.mark.parametrize("step", STEPS)
async def test_something_is_not_missed(step: Step, helper: bool) -> None:
    async with connect(after(step, helper)) as ws:
        for _ in range(3):
            await ws.send("go")
            with pytest.raises(AssertionError, match="expected nothing, got 'late'"):
                await ws.expect_nothing()
            assert await ws.recv() == "late"
            await ws.expect_nothing()


async def sleep() -> None:
    await asyncio.sleep(0.02)


async def thread() -> None:
    await asyncio.to_thread(threading.Event().wait, 0.02)


@pytest.mark.parametrize("step", [sleep, thread])
async def test_the_app_itself_is_waited_for_whatever_it_does(step: Step) -> None:
    async with connect(after(step, False)) as ws:
        await ws.send("go")
        with pytest.raises(AssertionError, match="expected nothing, got 'late'"):
            await ws.expect_nothing()


async def test_an_app_that_takes_its_time_and_then_says_nothing() -> None:
    async def act(receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "websocket.receive":
            await sleep()

    async with connect(accepting(act)) as ws:
        await ws.send("go")
        await ws.expect_nothing()


async def test_what_another_client_sets_off_is_not_missed() -> None:
    members: list[Send] = []

    async def act(receive: Receive, send: Send) -> None:
        members.append(send)
        while (await receive())["type"] == "websocket.receive":
            await turns()
            for member in members:
                if member != send:
                    await member(text("hi"))
        members.remove(send)

    app = accepting(act)
    async with connect(app) as ada, connect(app) as bob:
        await ada.send("hi")
        with pytest.raises(AssertionError, match="expected nothing, got 'hi'"):
            await bob.expect_nothing()
        await ada.expect_nothing()


async def test_several_at_once() -> None:
    async with connect(after(turns, True)) as one, connect(echo) as two:
        await asyncio.gather(*(ws.expect_nothing() for ws in (one, two) * 3))
        await one.send("go")
        await two.send("x")
        assert await two.recv() == "x"
        found = await asyncio.gather(
            *(ws.expect_nothing() for ws in (one, two) * 3), return_exceptions=True
        )
        assert [type(each) for each in found] == [AssertionError, type(None)] * 3
        assert "call_soon" not in vars(asyncio.get_running_loop())


async def test_an_end_is_not_nothing() -> None:
    async with connect(sending({"type": "websocket.close", "code": 4000})) as ws:
        with pytest.raises(AssertionError, match="expected nothing, but the app closed with 4000"):
            await ws.expect_nothing()


async def test_an_app_that_does_not_receive_again() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match=r"no rest; the app waits at .* in .*act"):
        async with connect(accepting(act), timeout=0.2) as ws:
            await ws.expect_nothing()


async def test_an_app_that_never_rests() -> None:
    async def act(receive: Receive, send: Send) -> None:
        async def spin() -> None:
            while True:
                await anyio.lowlevel.checkpoint()

        task = asyncio.create_task(spin())
        await receive()
        task.cancel()

    async with connect(accepting(act), timeout=0.2) as ws:
        with pytest.raises(TimeoutError, match="no rest; the app waits at "):
            await ws.expect_nothing()


async def test_an_app_that_goes_on_sending_is_stopped_by_the_first_message() -> None:
    async def act(receive: Receive, send: Send) -> None:
        while True:
            await send(text("x"))
            await asyncio.sleep(0)

    async with connect(accepting(act)) as ws:
        with pytest.raises(AssertionError, match=r"expected nothing, got 'x' and \d+ more"):
            await ws.expect_nothing()


async def test_settling_runs_all_that_is_ready() -> None:
    ran = []
    loop = asyncio.get_running_loop()

    def chain(left: int) -> None:
        ran.append(left)
        if left:
            loop.call_soon(chain, left - 1)

    loop.call_soon(chain, 100)
    await settle()
    assert ran == list(range(100, -1, -1))
