"""The task and the context of an app are its own, whatever resumes it."""

import asyncio
import contextvars
import sys
from typing import Any

import pytest

from tests.aio.playing import parked, play
from tests.server.peer import (
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    connected,
    frame,
    tcp,
    text,
    upgrade,
)
from tests.server.serving import ACCEPT, Event, Receive, Script, Send, running

VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=0)


async def test_the_context_of_an_app_lasts() -> None:
    async def act(receive: Receive, send: Send) -> list[int]:
        values = []
        for i in range(4):
            VARIABLE.set(VARIABLE.get() + 10**i)
            await receive()
            values.append(VARIABLE.get())
            await asyncio.sleep(0)
            values.append(VARIABLE.get())
        return values

    values = await play(act, *[text("x")] * 4)
    assert values == [1, 1, 11, 11, 111, 111, 1111, 1111]
    assert VARIABLE.get() == 0


async def test_the_current_task_is_the_same_in_each_step() -> None:
    async def act(receive: Receive, send: Send) -> set[Any]:
        tasks = {asyncio.current_task()}
        for _ in range(3):
            await receive()
            tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            tasks.add(asyncio.current_task())
        return tasks

    tasks = await play(act, *[text("x")] * 3)
    assert len(tasks) == 1


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_an_app_that_cancels_itself_and_returns(after: int) -> None:
    """A task that is cancelled right before its coroutine stops is cancelled."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(after):
            await receive()
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        task.cancel("by itself")

    tasks: list[asyncio.Task[Any]] = []
    async with running(app) as server, connected(server.address) as peer:
        for _ in range(after):
            await parked(server)
            await peer.send(text("x"))
        assert (await peer.closed())[0] == 1011
        assert tasks[0].cancelled()


@pytest.mark.parametrize("what", ["receive", "sleep", "future", "task"])
async def test_an_app_that_cancels_itself_and_waits(what: str) -> None:
    """The cancellation comes at the next wait, and goes on to what is waited for."""
    inner: list[asyncio.Future[Any]] = []

    async def act(receive: Receive, send: Send) -> str:
        await receive()
        task = asyncio.current_task()
        assert task is not None
        task.cancel("by itself")
        inner.append(asyncio.get_running_loop().create_future())
        inner.append(asyncio.create_task(asyncio.sleep(60)))
        waits: dict[str, Any] = {
            "receive": receive,
            "sleep": lambda: asyncio.sleep(60),
            "future": lambda: inner[0],
            "task": lambda: inner[1],
        }
        with pytest.raises(asyncio.CancelledError, match="by itself"):
            await waits[what]()
        inner[1].cancel()
        task.uncancel()
        return str((await receive())["text"])

    assert await play(act, text("one"), text("two")) == "two"
    assert what != "future" or inner[0].cancelled()


async def test_an_app_that_survives_a_cancellation() -> None:
    async def act(receive: Receive, send: Send) -> list[str]:
        texts = []
        for _ in range(3):
            try:
                texts.append((await receive())["text"])
            except asyncio.CancelledError:
                texts.append("cancelled")
        return texts

    async def app(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        return await act(receive, send)

    script = Script(app)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(text("one"))
        await peer.send(frame(PING))
        assert await peer.frame() == Frame(PONG, b"")
        await parked(server)
        (task,) = server.tasks
        task.cancel()
        await parked(server)
        await peer.send(text("two"))
        assert await script.outcome == ["one", "cancelled", "two"]


async def test_a_cancellation_in_the_turn_of_a_message() -> None:
    """Whatever comes first, the message is there for the next to ask."""

    async def act(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        try:
            return await receive()
        except asyncio.CancelledError:
            return await receive()

    for _ in range(20):
        script = Script(act)
        async with running(script) as server, connected(server.address) as peer:
            await parked(server)
            await peer.send(text("one"))
            for task in list(server.tasks):
                task.cancel()
            assert (await script.outcome)["text"] == "one"


async def test_an_app_waits_for_other_things_in_between() -> None:
    async def act(receive: Receive, send: Send) -> list[Event]:
        loop = asyncio.get_running_loop()
        events = []
        for _ in range(3):
            events.append(await receive())
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future
            await asyncio.create_task(asyncio.sleep(0))
            await asyncio.to_thread(lambda: None)
            await Yields()
        return events

    events = await play(act, text("a"), text("b") + text("c"))
    assert [event["text"] for event in events] == ["a", "b", "c"]


async def test_what_an_app_waits_for_is_referred_to_once() -> None:
    """Also by a step that was made ahead of the task, whose reference is counted by hand."""

    async def act(receive: Receive, send: Send) -> list[int]:
        loop = asyncio.get_running_loop()
        counts = []
        for wait in (receive, lambda: asyncio.sleep(0.001)):
            await wait()
            future = loop.create_future()
            kept = [future] * 10  # however wrong the count is, it lives
            loop.call_soon(future.set_result, None)
            await future
            await asyncio.sleep(0.001)
            counts.append(sys.getrefcount(future))
            del kept
        return counts

    ahead, otherwise = await play(act, text("a"))
    assert ahead == otherwise


class Yields:
    """Gives up its turn, as asyncio.sleep(0) does."""

    def __await__(self) -> Any:
        yield


async def test_an_app_that_yields_nonsense() -> None:
    class Nonsense:
        def __await__(self) -> Any:
            yield 5

    async def act(receive: Receive, send: Send) -> Any:
        await receive()
        with pytest.raises(RuntimeError, match="yield"):
            await Nonsense()
        return (await receive())["text"]

    assert await play(act, text("one"), text("two")) == "two"


async def test_receive_of_one_task_awaited_by_another() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        async def wait(awaitable: Any) -> Any:
            return await awaitable

        task = asyncio.create_task(wait(receive()))
        await asyncio.sleep(0)
        mine = await receive()
        return [(await task)["text"], mine["text"]]

    assert sorted(await play(act, text("one") + text("two"))) == ["one", "two"]


async def test_early_messages_do_not_resume_a_task_inside_another() -> None:
    """A step inside a step is not possible, so the waiter is called in a turn of its own."""

    async def act(receive: Receive, send: Send) -> Any:
        await receive()
        waiting: Any = receive()
        woken: list[Any] = []
        # By hand: asyncio has no way to end a task that was resumed inside another.
        waiting.send(None).add_done_callback(woken.append, context=contextvars.copy_context())
        await send(ACCEPT)
        at_once = list(woken)
        await asyncio.sleep(0)
        with pytest.raises(StopIteration) as taken:
            waiting.send(None)
        return at_once, len(woken), taken.value.value["text"]

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade(), text("early"))
        assert (await peer.head()).status == 101
        assert await script.outcome == ([], 1, "early")


async def test_a_generator_that_receives() -> None:
    async def act(receive: Receive, send: Send) -> list[str]:
        async def messages() -> Any:
            while (event := await receive())["type"] == "websocket.receive":
                yield event["text"]

        return [message async for message in messages()]

    assert await play(act, text("a") + text("b"), text("c"), close(1000)) == ["a", "b", "c"]


async def test_a_task_group_around_receive_and_send() -> None:
    async def act(receive: Receive, send: Send) -> list[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        done: list[str] = []

        async def reader() -> None:
            while (event := await receive())["type"] == "websocket.receive":
                queue.put_nowait(event["text"])
            queue.put_nowait(None)

        async def writer() -> None:
            while (message := await queue.get()) is not None:
                await send({"type": "websocket.send", "text": message})
                done.append(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(reader())
            group.create_task(writer())
        return done

    async def app(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        return await act(receive, send)

    script = Script(app)
    async with running(script) as server, connected(server.address) as peer:
        for i in range(50):
            await peer.send(text(f"{i}"))
            assert await peer.frame() == Frame(TEXT, b"%d" % i)
        await peer.send(close(1000))
        assert len(await script.outcome) == 50
