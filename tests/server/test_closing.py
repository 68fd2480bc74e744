"""How connections end: the codes that each side gets to know, and the order of things."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from fastws.errors import ClientDisconnected
from tests.server.peer import (
    CLOSE,
    PING,
    TEXT,
    Frame,
    Peer,
    close,
    connected,
    frame,
    tcp,
    text,
    upgrade,
)
from tests.server.serving import (
    ACCEPT,
    Event,
    Receive,
    Scope,
    Script,
    Send,
    echo,
    running,
    until,
)


async def receive_all(receive: Receive, send: Send) -> Event:
    """Accepts, and receives all up to the disconnect, which it gives."""
    await receive()
    await send(ACCEPT)
    while (event := await receive())["type"] == "websocket.receive":
        pass
    return event


# What the app gets to know.


@pytest.mark.parametrize(
    ("code", "reason", "answer"),
    [
        (1000, "bye", 1000),
        (1001, "", 1001),
        (3456, "grüße \U0001f44b", 3456),
        (4999, "x" * 123, 4999),
        (1014, "", 1014),
        (None, "", 1005),
    ],
)
async def test_the_code_of_the_peer(code: int | None, reason: str, answer: int) -> None:
    script = Script(receive_all)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(close(code, reason))
        assert await peer.closed() == (answer, "")
        assert await peer.rest() == b""
        event = {"type": "websocket.disconnect", "code": answer, "reason": reason}
        assert await script.outcome == event
        await server.emptied()


@pytest.mark.parametrize("how", [Peer.reset, Peer.close, Peer.finish])
async def test_a_peer_that_vanishes(how: Callable[[Peer], None]) -> None:
    """TCP ends without a close frame: with a reset, with an end, with an end of one direction."""
    script = Script(receive_all)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(text("last words"))
        how(peer)
        event = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        assert await script.outcome == event
        await server.emptied()


async def test_a_peer_that_vanishes_at_any_byte() -> None:
    """Half a frame is no message, whatever is missing of it."""
    exchange = text("ok") + frame(TEXT, b"x" * 130) + close(1000, "end")
    events: list[Event] = []

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while True:
            events.append(await receive())
            if events[-1]["type"] == "websocket.disconnect":
                return

    for end in range(len(exchange)):
        for how in (Peer.reset, Peer.close):
            events.clear()
            script = Script(act)
            async with running(script) as server, connected(server.address) as peer:
                await peer.send(exchange[:end])
                how(peer)
                await script.outcome
                await server.emptied()
            *received, last = events
            assert last["code"] == 1006
            texts = [event["text"] for event in received]
            assert texts == ["ok", "x" * 130][: len(texts)]
            if how is Peer.close:
                assert len(texts) == (end >= 8) + (end >= 8 + 138)


async def test_send_after_the_peer_has_left() -> None:
    async def act(receive: Receive, send: Send) -> None:
        assert (await receive_all(receive, send))["code"] == 3001
        for _ in range(2):
            with pytest.raises(ClientDisconnected) as caught:
                await send({"type": "websocket.send", "text": "x"})
            assert isinstance(caught.value, OSError)
            assert (caught.value.code, caught.value.reason) == (3001, "moved")
            assert caught.value.clean
        # To close what is closed is no mistake; to go on after that is.
        await send({"type": "websocket.close"})
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.close"})

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(close(3001, "moved"))
        await script.outcome


async def test_an_app_that_does_not_stop_receiving() -> None:
    """It gets the disconnect again, and in the end an exception: a loop on it blocks all others."""

    async def act(receive: Receive, send: Send) -> None:
        await receive_all(receive, send)
        while True:
            assert (await receive())["type"] == "websocket.disconnect"

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(close(1000))
        with pytest.raises(RuntimeError, match="disconnect"):
            await script.outcome


AGAIN: dict[str, Callable[[Receive, Send, Any], Awaitable[Any]]] = {
    "receive": lambda receive, send, connection: receive(),
    "receive_many": lambda receive, send, connection: connection.receive_many(),
    "messages": lambda receive, send, connection: anext(connection.messages()),
    "send": lambda receive, send, connection: send({"type": "websocket.send", "text": "x"}),
    "send_text": lambda receive, send, connection: connection.send_text("x"),
    "send_binary": lambda receive, send, connection: connection.send_binary(b"x"),
}


@pytest.mark.parametrize("call", AGAIN)
async def test_a_loop_around_a_closed_connection_lets_others_run(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """None of these calls waits, so a loop around one would stop the whole worker.

    From the 200th call on, each takes a turn of the event loop. One error is logged.
    """
    calls, turns = 1000, 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["extensions"]["fastws"]["connection"]
        await receive_all(receive, send)
        other = asyncio.create_task(count_turns())
        await asyncio.sleep(0)
        for _ in range(calls):
            with suppress(ClientDisconnected, RuntimeError, StopAsyncIteration):
                await AGAIN[call](receive, send, connection)
        other.cancel()

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with running(app) as server:
        async with connected(server.address) as peer:
            await peer.send(close(1000))
            await peer.rest()
        await server.emptied()
        await until(lambda: not server.tasks)
    assert turns >= calls - 210
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 4001, "reason": "düh"}, 4001, "düh"),
        ({"code": None, "reason": None}, 1000, ""),
        ({"reason": "é" * 100}, 1000, "é" * 61),
    ],
)
async def test_the_code_of_the_app(event: Event, code: int, reason: str) -> None:
    async def act(receive: Receive, send: Send) -> Event:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close"} | event)
        return await receive()

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        assert await peer.closed() == (code, reason)
        assert (await script.outcome)["code"] == code
        await peer.send(close(code))
        assert await peer.rest() == b""
        await server.emptied()


# What the peer gets to know.


class Broken(Exception):
    """What an app raises here."""


async def test_an_app_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: object, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        raise Broken("secret")

    caplog.set_level(logging.INFO)
    async with running(app) as server, connected(server.address) as peer:
        await peer.send(text("go"))
        assert await peer.closed() == (1011, "internal error")
        await peer.send(close(1011))
        assert await peer.rest() == b""
        await server.emptied()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info[0] for record in errors if record.exc_info] == [Broken]


async def test_an_app_that_returns() -> None:
    async def app(scope: object, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()

    async with running(app) as server, connected(server.address) as peer:
        await peer.send(text("go"))
        assert await peer.closed() == (1000, "")


async def test_an_app_that_is_cancelled() -> None:
    async def app(scope: object, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        raise asyncio.CancelledError

    async with running(app) as server, connected(server.address) as peer:
        await peer.send(text("go"))
        assert (await peer.closed())[0] == 1011


async def test_an_app_that_does_not_mind_that_the_client_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: object, receive: Receive, send: Send) -> None:
        await receive_all(receive, send)
        await send({"type": "websocket.send", "text": "x"})

    async with running(app) as server, connected(server.address) as peer:
        await peer.send(close(1000))
        await peer.rest()
        await server.emptied()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("how", ["raises", "returns", "is no coroutine function"])
async def test_an_app_that_ends_before_it_answers(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: object, receive: Receive, send: Send) -> None:
        await receive()
        if how == "raises":
            raise Broken("secret")

    def broken(scope: object, receive: Receive, send: Send) -> None:
        raise Broken("secret")

    served = broken if how == "is no coroutine function" else app
    async with running(served, interface="asgi3") as server:  # type: ignore[arg-type]
        async with tcp(server.address) as peer:
            await peer.send(upgrade())
            assert await peer.refused() == (500, b"Internal Server Error")
        await server.emptied()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


# The order of things.


async def test_answers_go_out_before_the_close_frame() -> None:
    """The peer has sent messages and a close frame at once; the app is slower than that."""
    going_on = asyncio.Event()

    async def act(receive: Receive, send: Send) -> Event:
        await receive()
        await send(ACCEPT)
        while (event := await receive())["type"] == "websocket.receive":
            await asyncio.sleep(0)
            await send(event | {"type": "websocket.send"})
            going_on.set()
        return event

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        messages = [b"%d" % i for i in range(20)]
        await peer.send(*(frame(TEXT, message) for message in messages), close(3000, "done"))
        for message in messages:
            assert await peer.frame() == Frame(TEXT, message)
        assert await peer.closed() == (3000, "")
        assert (await script.outcome)["reason"] == "done"


async def test_answers_go_out_before_a_failure() -> None:
    async with running(echo) as server, connected(server.address) as peer:
        await peer.send(text("one"), text("two"), frame(TEXT, b"\xff"), text("three"))
        assert await peer.frame() == Frame(TEXT, b"one")
        assert await peer.frame() == Frame(TEXT, b"two")
        assert (await peer.ended())[0] == 1007


async def test_a_busy_app_does_not_hold_up_the_close() -> None:
    """It has messages that it does not look at; the peer gets its close frame all the same."""

    async def act(receive: Receive, send: Send) -> Event:
        await receive()
        await send(ACCEPT)
        await released.wait()
        for _ in range(3):
            assert (await receive())["type"] == "websocket.receive"
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "too late"})
        return await receive()

    released = asyncio.Event()
    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(text("x") * 3, close(1001, "leaving"))
        assert await peer.ended() == (1001, "")
        released.set()
        assert (await script.outcome)["code"] == 1001


async def test_both_close_at_once() -> None:
    async def act(receive: Receive, send: Send) -> Event:
        await receive()
        await send(ACCEPT)
        await receive()
        await send({"type": "websocket.close", "code": 4001})
        return await receive()

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        # The app's close comes before it has seen ours, or after: both in one read.
        await peer.send(text("x"), close(4002))
        code, _ = await peer.ended()
        assert code in (4001, 4002)
        assert (await script.outcome)["code"] == code
        await server.emptied()


async def test_nothing_follows_the_close_frame() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close"})
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.send", "text": "x"})

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(frame(PING, b"before"))
        found = await peer.frame()
        if found.opcode != CLOSE:
            found = await peer.frame()
        assert found.opcode == CLOSE
        await peer.send(frame(PING, b"after"), text("after"), close(1000))
        assert await peer.rest() == b""
        await until(script.outcome.done)
        script.outcome.result()
