"""What receive() returns, and how its task is resumed: one test for each of its rules.

All through a real server: an app waits, a peer sends, and the app goes on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.aio.playing import play
from tests.server.peer import TEXT, Frame, close, connected, text
from tests.server.serving import ACCEPT, Receive, Script, Send, running

# 1: what receive() returns is no future.


async def test_receive_is_a_coroutine_and_no_future() -> None:
    async def act(receive: Receive, send: Send) -> list[Any]:
        awaitable = receive()
        assert isinstance(awaitable, Coroutine)
        assert asyncio.iscoroutine(awaitable)
        assert not asyncio.isfuture(awaitable)
        task = asyncio.ensure_future(awaitable)
        assert isinstance(task, asyncio.Task)
        other = asyncio.create_task(receive())
        return [(await task)["text"], (await other)["text"]]

    assert await play(act, text("one") + text("two")) == ["one", "two"]


async def test_an_awaitable_that_was_never_awaited_takes_nothing() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        for awaitable in (receive(), receive()):
            awaitable.close()
        forgotten: Any = receive()
        del forgotten
        return (await receive())["text"]

    assert await play(act, text("one")) == "one"


async def test_it_is_awaited_once_though_it_is_used_again() -> None:
    """As a coroutine; what is kept of one that is done takes nobody else's message."""

    async def act(receive: Receive, send: Send) -> list[str]:
        first: Any = receive()
        messages = [(await first)["text"], (await receive())["text"]]
        for awaitable in (first, first):
            with pytest.raises(RuntimeError, match="once more"):
                await awaitable
        del first
        waiting = [asyncio.create_task(receive()) for _ in range(2)]
        await asyncio.sleep(0)
        return messages + [(await task)["text"] for task in waiting]

    sent = ["one", "two", "three", "four"]
    assert await play(act, b"".join(map(text, sent))) == sent


# 2: cancellation keeps its message.


async def test_cancellation_has_its_message() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        waiting.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await waiting
        return waiting.cancelled()

    assert await play(act) is True


async def test_cancel_scopes_of_anyio() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        for _ in range(3):
            with anyio.move_on_after(0.001) as scope:
                await receive()
            assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.001):
                await receive()
        await send({"type": "websocket.send", "text": "now"})
        return (await receive())["text"]

    async def app(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        return await act(receive, send)

    script = Script(app)
    async with running(script) as server, connected(server.address) as peer:
        assert await peer.frame() == Frame(TEXT, b"now")
        await peer.send(text("one"))
        assert await script.outcome == "one"


async def test_timeouts_of_asyncio() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await receive()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await play(act) == 0


# 3: a cancelled receive() takes nothing with it.


async def test_a_message_is_not_lost_by_a_cancelled_wait() -> None:
    """Cancelled before the message, and after it, in the same turn of the loop."""

    async def act(receive: Receive, send: Send) -> list[str]:
        texts = []
        for _ in range(3):
            waiting = asyncio.create_task(receive())
            await asyncio.sleep(0)
            waiting.cancel()
            again = asyncio.create_task(receive())
            with pytest.raises(asyncio.CancelledError):
                await waiting
            texts.append((await again)["text"])
        return texts

    assert await play(act, text("one"), text("two"), text("three")) == ["one", "two", "three"]


async def test_cancelled_and_resumed_at_once() -> None:
    """The message comes first, the cancellation in the same step: the message stays."""

    async def act(receive: Receive, send: Send) -> list[str]:
        other = asyncio.create_task(receive())
        await asyncio.sleep(0)
        texts = [(await receive())["text"]]  # while `other` is first in line
        return [*texts, (await other)["text"]]

    assert sorted(await play(act, text("one") + text("two"))) == ["one", "two"]


async def test_an_app_cancels_the_receiver_that_is_next() -> None:
    async def act(receive: Receive, send: Send) -> list[str]:
        first, second = asyncio.create_task(receive()), asyncio.create_task(receive())
        first.add_done_callback(lambda _: second.cancel())
        await asyncio.wait([first, second])
        texts = [task.result()["text"] for task in (first, second) if not task.cancelled()]
        while len(texts) < 2:
            texts.append((await receive())["text"])
        return texts

    assert await play(act, text("one") + text("two")) == ["one", "two"]


# 5: the waiter is enough of a future for those who look.


async def test_what_a_task_waits_for_looks_like_a_future() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        waiter: Any = waiting._fut_waiter  # type: ignore[attr-defined]
        assert not waiter.done()
        assert not waiter.cancelled()
        assert waiter.get_loop() is asyncio.get_running_loop()
        with pytest.raises(asyncio.InvalidStateError):
            waiter.result()
        with pytest.raises(asyncio.InvalidStateError):
            waiter.exception()
        assert waiter.remove_done_callback(print) in (0, 1)
        assert "pending" in repr(waiting)
        assert waiting.get_stack() is not None
        waiting.cancel()
        return None

    await play(act)


async def test_anyio_sees_that_a_task_is_blocked() -> None:
    async def act(receive: Receive, send: Send) -> Any:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await send({"type": "websocket.send", "text": "now"})
        return (await receive())["text"]

    async def app(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        return await act(receive, send)

    script = Script(app)
    async with running(script) as server, connected(server.address) as peer:
        assert await peer.frame() == Frame(TEXT, b"now")
        await peer.send(text("one"))
        assert await script.outcome == "one"


# 7: the app is woken once for a read.


async def test_all_of_a_read_is_there_at_the_first_wake_up() -> None:
    async def act(receive: Receive, send: Send) -> int:
        await receive()
        turns: list[None] = []
        asyncio.get_running_loop().call_soon(turns.append, None)
        for _ in range(99):
            await receive()
        return len(turns)

    assert await play(act, text("x") * 100) == 0


# 9: whoever asked first is served first.


async def test_concurrent_receivers_are_served_in_their_order() -> None:
    async def act(receive: Receive, send: Send) -> list[tuple[int, str]]:
        served: list[tuple[int, str]] = []

        async def take(i: int) -> None:
            served.append((i, (await receive())["text"]))

        tasks = [asyncio.create_task(take(i)) for i in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.wait(tasks)
        return served

    expected = [(0, "a"), (1, "b"), (3, "c"), (4, "d")]
    assert await play(act, text("a") + text("b"), text("c"), text("d")) == expected


async def test_concurrent_receivers_all_get_the_disconnect() -> None:
    async def act(receive: Receive, send: Send) -> list[str]:
        events = await asyncio.gather(*(receive() for _ in range(5)))
        return [event["type"] for event in events]

    assert await play(act, close(1000)) == ["websocket.disconnect"] * 5
