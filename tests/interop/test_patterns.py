"""asyncio in bare ASGI apps: every way to wait, to stop waiting, and to send."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
import sniffio
from websockets.asyncio.client import ClientConnection

from tests.interop import differences
from tests.interop.conftest import Open, reset
from tests.interop.patterns import (
    INTERRUPTIONS,
    NOT_EAGER,
    WAYS,
    Receive,
    Send,
    app,
    dispatch,
    echo,
    text,
)
from tests.interop.serving import Served, Servers
from tests.interop.stage import Stage

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

HERE = "tests.interop.serving"
LOOPS = ["uvloop", "asyncio", f"{HERE}:debug_uvloop", f"{HERE}:debug_asyncio"]
if sys.version_info >= (3, 12):
    LOOPS += [f"{HERE}:eager_uvloop", f"{HERE}:eager_asyncio"]
BIG = "x" * 65536
COUNT, THREADS = 50, 4

Pattern = Callable[..., AbstractAsyncContextManager[ClientConnection]]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.rpartition(":")[2] + "-server")
def served(request: pytest.FixtureRequest, servers: Servers, kind: str) -> Served:
    return servers.get(kind, f"patterns on {request.param}", lambda: dispatch, loop=request.param)


def on_loops(functions: list[Any]) -> pytest.MarkDecorator:
    """Parametrises a test by loop and function."""
    pairs = [
        pytest.param(loop, function, id=f"{loop.rpartition(':')[2]}-server-{function.__name__}")
        for loop in LOOPS
        for function in functions
        if not (":eager" in loop and function in NOT_EAGER)
    ]
    return pytest.mark.parametrize(("served", "function"), pairs, indirect=["served"])


async def came(ws: ClientConnection, count: int) -> list[Any]:
    """Gives the next messages."""
    return [await ws.recv() for _ in range(count)]


@app
async def ways(scope: Any, receive: Receive, send: Send) -> None:
    way = {each.__name__: each for each in WAYS}[scope["path"].split("/")[2]]
    while (event := await way(receive))["type"] == "websocket.receive":
        await send(text(event["text"]))


@on_loops(WAYS)
async def test_every_way_to_receive(served: Served, open_ws: Open, function: Any) -> None:
    async with open_ws(served, f"/ways/{function.__name__}") as ws:
        await ws.send("parked for it")
        assert await ws.recv() == "parked for it"
        burst = [str(number) for number in range(20)]
        for message in burst:
            await ws.send(message)
        assert await came(ws, len(burst)) == burst


@app
async def interrupted(scope: Any, receive: Receive, send: Send) -> None:
    interruptions = {each.__name__: each for each in INTERRUPTIONS}
    heard = interruptions[scope["path"].split("/")[2]](receive)
    assert await heard() is None
    await send(text("interrupted"))
    while True:
        if (event := await heard()) is None:
            await asyncio.sleep(0)
        elif event["type"] == "websocket.disconnect":
            break
        else:
            await send(text(event["text"]))


@on_loops(INTERRUPTIONS)
async def test_an_interrupted_receive_loses_no_message(
    served: Served, open_ws: Open, function: Any
) -> None:
    async with open_ws(served, f"/interrupted/{function.__name__}", max_queue=None) as ws:
        assert await ws.recv() == "interrupted"
        for number in range(100):  # each one may meet the next interruption
            await ws.send(f"one {number}")
            assert await ws.recv() == f"one {number}"
        burst = [str(number) for number in range(300)]
        for message in burst:
            await ws.send(message)
        assert await came(ws, len(burst)) == burst


@app
async def two_receivers(scope: Any, receive: Receive, send: Send) -> None:
    async def receiver(name: str) -> None:
        while (event := await receive())["type"] == "websocket.receive":
            await send(text(f"{name} {event['text']}"))

    tasks = [asyncio.create_task(receiver(name)) for name in "AB"]
    await asyncio.sleep(0)  # both are waiting now
    await send(text("ready"))
    await asyncio.gather(*tasks)


async def test_two_receivers_share_the_messages_in_order(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/two_receivers", max_queue=None) as ws:
        assert await ws.recv() == "ready"
        for number in range(10):  # the one that has waited longest gets the next
            await ws.send(str(number))
            assert await ws.recv() == f"{'AB'[number % 2]} {number}"
        burst = [str(number) for number in range(300)]
        for message in burst:
            await ws.send(message)
        assert [each.split()[1] for each in await came(ws, len(burst))] == burst


@app
async def gathered_receivers(scope: Any, receive: Receive, send: Send) -> None:
    events = await asyncio.gather(receive(), receive(), receive())
    await send(text(" ".join(event["text"] for event in events)))
    await echo(receive, send)


async def test_gathered_receivers_get_the_messages_in_their_order(
    served: Served, open_ws: Open
) -> None:
    async with open_ws(served, "/gathered_receivers") as ws:
        for message in "abc":
            await ws.send(message)
        assert await ws.recv() == "a b c"


@app
async def first_of_two_is_cancelled(scope: Any, receive: Receive, send: Send) -> None:
    first, second = asyncio.create_task(receive()), asyncio.create_task(receive())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    await send(text("cancelled"))
    await send(text((await second)["text"]))


async def test_a_cancelled_receiver_leaves_its_turn_to_the_next(
    served: Served, open_ws: Open
) -> None:
    async with open_ws(served, "/first_of_two_is_cancelled") as ws:
        assert await ws.recv() == "cancelled"
        await ws.send("yours")
        assert await ws.recv() == "yours"


@app
async def disconnected(scope: Any, receive: Receive, send: Send) -> None:
    stage = Stage.of(scope)
    await send(text("ready"))
    await stage.cue()
    while (event := await receive())["type"] == "websocket.receive":
        stage.report(event["text"])
    stage.report(event)
    for _ in range(int(scope["path"].split("/")[2])):
        stage.report(await receive())


async def test_messages_come_before_the_disconnect_and_that_comes_again(
    served: Served, open_ws: Open
) -> None:
    stage, again = Stage(), differences.DISCONNECTS_AFTER_THE_FIRST.on(served.kind)
    async with open_ws(served, f"/disconnected/{len(again)}{stage.query}") as ws:
        assert await ws.recv() == "ready"
        for message in "abc":
            await ws.send(message)
        closing = asyncio.create_task(ws.close(4000, "done"))
        await asyncio.sleep(0)  # the close frame is on its way, behind the messages
        stage.give_cue()
        await closing
        assert [await stage.reported() for _ in "abc"] == ["a", "b", "c"]
        first = {"type": "websocket.disconnect", "code": 4000, "reason": "done"}
        assert await stage.reported() == first
        for code in again:
            event = await stage.reported()
            assert (event["type"], event["code"]) == ("websocket.disconnect", code)


@app
async def all_receivers_end(scope: Any, receive: Receive, send: Send) -> None:
    tasks = [asyncio.create_task(receive()) for _ in range(int(scope["path"].split("/")[2]))]
    await asyncio.sleep(0)
    await send(text("ready"))
    done, _ = await asyncio.wait(tasks)
    Stage.of(scope).report([task.result()["type"] for task in done])


async def test_a_lost_connection_wakes_every_receiver(served: Served, open_ws: Open) -> None:
    stage, receivers = Stage(), differences.RECEIVERS_OF_A_LOSS.on(served.kind)
    async with open_ws(served, f"/all_receivers_end/{receivers}{stage.query}") as ws:
        assert await ws.recv() == "ready"
        reset(ws)
        assert await stage.reported() == ["websocket.disconnect"] * receivers


@app
async def own_close(scope: Any, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 4002, "reason": "mine"})
    Stage.of(scope).report(await receive())
    try:
        await send(text("too late"))
    except (OSError, RuntimeError) as error:
        Stage.of(scope).report(error)


async def test_an_app_that_closed_is_told_so_and_cannot_send(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/own_close{stage.query}"):
        event = await stage.reported()
        assert (event["code"], event["reason"]) == (4002, "mine")
        assert isinstance(await stage.reported(), OSError | RuntimeError)


@app
async def context(scope: Any, receive: Receive, send: Send) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert variable.get(None) is None  # not that of another connection
    while (event := await receive())["type"] == "websocket.receive":
        assert asyncio.current_task() is task
        assert asyncio.get_running_loop() is loop
        assert sniffio.current_async_library() == "asyncio"
        assert anyio.get_current_task().id == id(task)
        before = variable.get("")
        variable.set(before + event["text"])
        inner = asyncio.create_task(seen_by_child(send))
        assert variable.get() == before + event["text"]
        await inner
        assert asyncio.current_task() is task


async def seen_by_child(send: Send) -> None:
    await send(text(variable.get()))
    variable.set("only the child's")


async def test_task_loop_and_context_stay_the_apps_own(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/context") as first, open_ws(served, "/context") as second:
        for so_far in "a", "ab", "abc":
            for ws in first, second:
                await ws.send(so_far[-1])
                assert await ws.recv() == so_far


@app
async def sends(scope: Any, receive: Receive, send: Send) -> None:
    loop, padding = asyncio.get_running_loop(), "x" * int(scope["path"].split("/")[2])

    def events(name: str) -> list[Any]:
        return [text(f"{name} {number} {padding}") for number in range(COUNT)]

    def from_thread(name: str) -> None:
        for event in events(name):
            asyncio.run_coroutine_threadsafe(send(event), loop).result()

    async def from_task(name: str) -> None:
        for event in events(name):
            await send(event)
            await asyncio.sleep(0)

    async def from_tasks_of_send(name: str) -> None:
        for event in events(name):
            await asyncio.create_task(send(event))

    async def from_gather(name: str) -> None:
        await asyncio.gather(*map(send, events(name)))

    async with asyncio.TaskGroup() as group:
        for sender in from_task, from_tasks_of_send, from_gather:
            group.create_task(sender(sender.__name__))
        for number in range(THREADS):
            group.create_task(asyncio.to_thread(from_thread, f"thread{number}"))
        for number in range(COUNT):
            assert (await receive())["text"] == str(number)
        group.create_task(send(text(f"received {COUNT} ")))
    await echo(receive, send)


@pytest.mark.parametrize("size", [0, 40_000])
async def test_messages_of_each_sender_stay_in_order(
    served: Served, open_ws: Open, size: int
) -> None:
    threads = [f"thread{number}" for number in range(THREADS)]
    senders = ["from_task", "from_tasks_of_send", "from_gather", *threads]
    numbers: dict[str, list[int]] = {}
    async with open_ws(served, f"/sends/{size}") as ws:
        for number in range(COUNT):
            await ws.send(str(number))
        for message in await came(ws, len(senders) * COUNT + 1):
            sender, number, padding = message.split(" ")
            numbers.setdefault(sender, []).append(int(number))
            assert len(padding) == (0 if sender == "received" else size)
    assert numbers.pop("received") == [COUNT]
    assert numbers == {sender: list(range(COUNT)) for sender in senders}


@app
async def from_thread_meanwhile(scope: Any, receive: Receive, send: Send) -> None:
    loop = asyncio.get_running_loop()

    def call() -> None:
        asyncio.run_coroutine_threadsafe(send(text("from a thread")), loop)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()  # the loop stands still, so nothing can have been sent yet
    await send(text("from the loop"))
    await echo(receive, send)


async def test_a_send_of_another_thread_waits_for_the_loop(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/from_thread_meanwhile") as ws:
        assert await came(ws, 2) == ["from the loop", "from a thread"]


@app
async def stuck(scope: Any, receive: Receive, send: Send) -> None:
    stage, number = Stage.of(scope), 0
    while True:
        task = asyncio.create_task(send(text(f"{number} {BIG}")))
        if not (await asyncio.wait({task}, timeout=0.05))[0]:
            break
        number += 1
    stage.report("stuck")
    await stage.cue()
    if scope["path"].endswith("/cancel"):
        task.cancel()
    try:
        await task
    except (OSError, asyncio.CancelledError) as error:
        stage.report(error)
    else:
        stage.report(None)
    await send(text("after"))


async def test_send_waits_for_a_peer_that_does_not_read(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/stuck/read{stage.query}", max_queue=1) as ws:
        assert await stage.reported() == "stuck"
        stage.give_cue()
        numbers = []
        while (message := await ws.recv()) != "after":
            numbers.append(int(str(message).split()[0]))
        assert await stage.reported() is None
        assert numbers == list(range(len(numbers)))


async def test_a_cancelled_send_leaves_no_broken_frame(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/stuck/cancel{stage.query}", max_queue=1) as ws:
        assert await stage.reported() == "stuck"
        stage.give_cue()
        numbers = []
        while (message := await ws.recv()) != "after":
            numbers.append(int(str(message).split()[0]))
        assert numbers == list(range(len(numbers)))


async def test_a_lost_connection_wakes_a_waiting_send(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/stuck/reset{stage.query}", max_queue=1) as ws:
        assert await stage.reported() == "stuck"
        reset(ws)
        stage.give_cue()
        assert isinstance(await stage.reported(), OSError)
