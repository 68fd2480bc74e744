"""Nothing of a connection stays: it is freed without the help of the garbage collector."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from fastws.limits import Limits
from tests.server.peer import PING, Peer, close, connected, frame, request, tcp, text, upgrade
from tests.server.serving import ACCEPT, Receive, Scope, Send, echo, fds, hello, running, until

Act = Callable[[Receive, Send, Any], Awaitable[Any]]
Behave = Callable[[Peer], Awaitable[None]]


async def returns(receive: Receive, send: Send, connection: Any) -> None:
    await receive()


async def returns_at_once(receive: Receive, send: Send, connection: Any) -> None:
    pass


async def raises(receive: Receive, send: Send, connection: Any) -> None:
    await receive()
    raise ZeroDivisionError


async def raises_at_once(receive: Receive, send: Send, connection: Any) -> None:
    raise ZeroDivisionError


async def raises_after_a_sleep(receive: Receive, send: Send, connection: Any) -> None:
    await receive()
    await asyncio.sleep(0)
    raise ZeroDivisionError


async def receives_all(receive: Receive, send: Send, connection: Any) -> None:
    while (await receive())["type"] == "websocket.receive":
        pass


async def receives_many(receive: Receive, send: Send, connection: Any) -> None:
    while True:
        await connection.receive_many()


async def echoes(receive: Receive, send: Send, connection: Any) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        await send(event | {"type": "websocket.send"})


async def times_out(receive: Receive, send: Send, connection: Any) -> None:
    for _ in range(3):
        with suppress(TimeoutError):
            await asyncio.wait_for(receive(), 0.0001)
    await receives_all(receive, send, connection)


async def cancels_itself(receive: Receive, send: Send, connection: Any) -> None:
    await receive()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def cancels_itself_and_survives(receive: Receive, send: Send, connection: Any) -> None:
    await receive()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await receives_all(receive, send, connection)


async def receives_in_tasks(receive: Receive, send: Send, connection: Any) -> None:
    tasks = [asyncio.create_task(receive()) for _ in range(4)]
    await receive()
    tasks[1].cancel()
    await asyncio.wait(tasks)


async def pings(receive: Receive, send: Send, connection: Any) -> None:
    waiting = connection.ping()
    await receives_all(receive, send, connection)
    assert waiting.done()


async def aborts(receive: Receive, send: Send, connection: Any) -> None:
    await receive()
    connection.abort()
    await receives_all(receive, send, connection)


async def closes(receive: Receive, send: Send, connection: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def sends_to_nobody(receive: Receive, send: Send, connection: Any) -> None:
    await receives_all(receive, send, connection)
    with suppress(OSError):
        await send({"type": "websocket.send", "text": "x"})


ACTS: list[Act] = [
    returns,
    returns_at_once,
    raises,
    raises_at_once,
    raises_after_a_sleep,
    receives_all,
    receives_many,
    echoes,
    times_out,
    cancels_itself,
    cancels_itself_and_survives,
    receives_in_tasks,
    pings,
    aborts,
    closes,
    sends_to_nobody,
]


async def says_goodbye(peer: Peer) -> None:
    await peer.send(text("x"), close(1000))
    await peer.gone()


async def vanishes(peer: Peer) -> None:
    await peer.send(text("x"))
    peer.reset()


async def leaves_half_a_message(peer: Peer) -> None:
    await peer.send(text("x"), frame(PING, b"x"), text("xyz")[:-1])
    peer.close()


async def breaks_a_rule(peer: Peer) -> None:
    await peer.send(text("x"), frame(7))
    await peer.gone()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(
    "behave",
    [
        says_goodbye,
        pytest.param(vanishes, marks=pytest.mark.deep),
        leaves_half_a_message,
        pytest.param(breaks_a_rule, marks=pytest.mark.deep),
    ],
)
@pytest.mark.parametrize("act", ACTS)
async def test_a_connection_is_freed(act: Act, behave: Behave) -> None:
    left: list[weakref.ref[Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["extensions"]["fastws"]["connection"]
        # No name for the task: an exception's traceback has all names of the frames.
        left.extend(map(weakref.ref, [connection, *server.tasks]))
        await receive()
        await send(ACCEPT)
        await act(receive, send, connection)

    limits = Limits(close_timeout=0.05)
    async with running(app, limits, ws_per_message_deflate=False) as server:
        async with connected(server.address) as peer:
            with suppress(ConnectionError):
                await behave(peer)
        await server.emptied()
        await until(lambda: not any(ref() for ref in left))


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(
    "beginning",
    [
        upgrade(line=b"POST /ws HTTP/1.1"),
        upgrade()[:-1],
        request(),
        request() + upgrade(),
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_a_connection_that_opened_nothing_is_freed(beginning: bytes) -> None:
    left: list[weakref.ref[Any]] = []
    async with running(hello, Limits(close_timeout=0.05)) as server:
        async with tcp(server.address) as peer:
            await until(lambda: server.connections)
            left.extend(map(weakref.ref, server.connections))
            await peer.send(beginning)
            await asyncio.sleep(0)
            left.extend(map(weakref.ref, server.connections))
            peer.finish()
            await peer.gone()
        await server.emptied()
        await until(lambda: not any(ref() for ref in left))


@pytest.mark.deep
async def test_a_thousand_connections_leave_nothing() -> None:
    async with running(echo) as server:

        async def visit(i: int) -> None:
            async with connected(server.address) as peer:
                await peer.send(text(f"{i}"))
                await peer.frame()
                if i % 3 == 0:
                    await peer.send(close(1000))
                    await peer.rest()
                elif i % 3 == 1:
                    peer.reset()

        async def visits(count: int) -> tuple[int, int, Counter[type]]:
            for start in range(0, count, 50):
                await asyncio.gather(*map(visit, range(start, start + 50)))
            await server.emptied()
            return len(asyncio.all_tasks()), fds(), Counter(map(type, gc.get_objects()))

        before, after = await visits(200), await visits(1000)
        assert after[:2] == before[:2]
        grown = after[2] - before[2]
        assert {kind: count for kind, count in grown.items() if count > 100} == {}
