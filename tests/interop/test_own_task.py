"""The task that runs an app: it is one task, in one context, whatever resumes it.

A server may take shortcuts to an app that waits in ``receive()``. No app may notice.
"""

import asyncio
import contextvars
import io
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.interop.conftest import Open
from tests.interop.patterns import Receive, Send, app, dispatch, echo, text
from tests.interop.serving import Served, Servers
from tests.interop.stage import Stage

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


@pytest.fixture(params=["uvloop", "asyncio"], ids=lambda loop: f"{loop}-server")
def served(request: pytest.FixtureRequest, servers: Servers, kind: str) -> Served:
    return servers.get(kind, f"patterns on {request.param}", lambda: dispatch, loop=request.param)


def own_task() -> asyncio.Task[Any]:
    """Gives the task that is running."""
    task = asyncio.current_task()
    assert task is not None
    return task


@app
async def cancelled(scope: Any, receive: Receive, send: Send) -> None:
    """Is cancelled by a task of its own while it receives, and goes on."""
    stage, task = Stage.of(scope), own_task()

    async def cancel() -> None:
        await stage.cue()
        task.cancel("by a child")

    child = asyncio.create_task(cancel())
    assert (await receive())["text"] == "before"
    await send(text("waiting"))
    try:
        await receive()
    except asyncio.CancelledError as error:
        stage.report((error.args, task.cancelling()))
        task.uncancel()
    await child
    await echo(receive, send)


async def test_a_cancelled_app_may_go_on(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/cancelled{stage.query}") as ws:
        await ws.send("before")
        assert await ws.recv() == "waiting"
        stage.give_cue()
        assert await stage.reported() == (("by a child",), 1)
        for message in "a", "b":
            await ws.send(message)
            assert await ws.recv() == message


@app
async def cancelled_by_itself(scope: Any, receive: Receive, send: Send) -> None:
    """Cancels itself, which meets the first wait that has to wait."""
    assert (await receive())["text"] == "first"
    own_task().cancel()
    events = []
    try:
        while True:
            events.append(await receive())
    except asyncio.CancelledError:
        own_task().uncancel()
    await send(text("cancelled"))
    for event in events:
        await send(text(event["text"]))
    await echo(receive, send)


async def test_an_app_may_cancel_itself(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/cancelled_by_itself") as ws:
        await ws.send("first")
        await ws.send("second")
        assert await ws.recv() == "cancelled"
        assert await ws.recv() == "second"


@app
async def mixed(scope: Any, receive: Receive, send: Send) -> None:
    """Waits for messages and for other things in turn, at several depths."""
    task, lock, queue = own_task(), asyncio.Lock(), asyncio.Queue[str]()

    async def messages() -> AsyncIterator[str]:
        while (event := await receive())["type"] == "websocket.receive":
            yield event["text"]

    async def other_things(message: str) -> str:
        async with lock, asyncio.timeout(60):
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.001, queue.put_nowait, message)
            message = await queue.get()
        return await asyncio.to_thread(str.upper, message)

    async for message in messages():
        token = variable.set(message)
        assert own_task() is task
        upper = await other_things(message)
        assert own_task() is task
        await send(text(upper + (await receive())["text"]))
        assert variable.get() == message
        variable.reset(token)  # raises in any context but that of the set
        with anyio.CancelScope() as scope_of_anyio:
            await anyio.lowlevel.checkpoint()
        assert not scope_of_anyio.cancelled_caught


async def test_an_app_waits_for_messages_and_other_things(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/mixed") as ws:
        for number in range(20):
            await ws.send(f"x{number}")
            if number % 2:  # else both come at once
                await (await ws.ping())
            await ws.send("y")
            assert await ws.recv() == f"X{number}y"


@app
async def member(scope: Any, receive: Receive, send: Send) -> None:
    """Sends what it receives to all members; closes or cancels the others on request."""
    stage, task = Stage.of(scope), own_task()
    stage.members[task] = send
    await send(text(len(stage.members)))
    try:
        while (event := await receive())["type"] == "websocket.receive":
            assert own_task() is task
            others = {each: to for each, to in stage.members.items() if each is not task}
            for other, to in others.items():
                if event["text"] == "close":
                    await to({"type": "websocket.close", "code": 4004, "reason": "by another"})
                elif event["text"] == "cancel":
                    other.cancel()
                else:
                    await to(text(event["text"]))
            await send(text(f"done: {event['text']}"))
        stage.report((event["code"], event.get("reason")))
    except asyncio.CancelledError:
        stage.report("cancelled")
        await send({"type": "websocket.close", "code": 4005})
    finally:
        del stage.members[task]


async def test_a_handler_acts_on_other_connections(served: Served, open_ws: Open) -> None:
    stage = Stage()
    path = f"/member{stage.query}"
    async with open_ws(served, path) as one:
        assert await one.recv() == "1"
        async with open_ws(served, path) as two:
            assert await two.recv() == "2"
            for number in range(20):
                await one.send(f"to two {number}")
                await two.send(f"to one {number}")
                assert {await one.recv(), await one.recv()} == {
                    f"to one {number}",
                    f"done: to two {number}",
                }
                assert {await two.recv(), await two.recv()} == {
                    f"to two {number}",
                    f"done: to one {number}",
                }
            await one.send("close")
            assert await one.recv() == "done: close"
            await two.wait_closed()
            assert (two.close_code, two.close_reason) == (4004, "by another")
            assert await stage.reported() == (4004, "by another")
        async with open_ws(served, path) as three:
            assert await three.recv() == "2"
            await one.send("cancel")
            assert await one.recv() == "done: cancel"
            assert await stage.reported() == "cancelled"
            await three.wait_closed()
            assert three.close_code == 4005
        await one.send("still here")
        assert await one.recv() == "done: still here"


@app
async def inspected(scope: Any, receive: Receive, send: Send) -> None:
    """Can be looked at, by its name, while it waits for a message."""
    task = own_task()
    task.set_name("inspected")
    assert (await receive())["text"] == "start"

    async def look() -> None:
        await asyncio.sleep(0)  # until the app waits again
        assert task in asyncio.all_tasks()
        assert not task.done()
        stack = io.StringIO()
        task.print_stack(file=stack)
        assert stack.getvalue()
        await send(text(task.get_name()))

    looking = asyncio.create_task(look())
    await receive()
    await looking
    await send(text("looked"))


async def test_a_waiting_app_can_be_inspected(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/inspected") as ws:
        await ws.send("start")
        assert await ws.recv() == "inspected"
        await ws.send("end")
        assert await ws.recv() == "looked"
