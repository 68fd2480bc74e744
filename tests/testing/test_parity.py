"""The client without a socket, against the real thing: an app must not be able to tell."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

import fastws
from fastws.errors import Disconnected, HandshakeError
from fastws.testing import connect, serve
from fastws.testing.call import App, Event, Receive, Scope, Send
from tests.testing.apps import ACCEPT, text
from tests.testing.test_client import CLOSE, START

Connected = Callable[..., AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def over_tcp(app: App, target: str, **options: Any) -> AsyncIterator[Any]:
    """Does what `connect` does, with our server and our client."""
    async with serve(app, lifespan="off") as server:
        async with fastws.connect(server.url(target), compression=False, **options) as ws:
            yield ws
        await server.emptied()


async def told_by(connected: Connected, act: Callable[[Any], Any], **options: Any) -> list[Any]:
    """Gives the scope and the events that an app gets."""
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(dict(scope))
        told.append(await receive())
        await send({**ACCEPT, "subprotocol": "b", "headers": [(b"x-a", b"1")]})
        await send(text("hello"))
        while told[-1]["type"] != "websocket.disconnect":
            told.append(await receive())
        told.append(await receive())
        with pytest.raises(OSError, match=r"\d+") as caught:
            await send(text("too late"))
        told.append((type(caught.value), str(caught.value)))
        await send(CLOSE)

    target = "/r%C3%A4ume/a%20b?c=d%20e&f"
    async with connected(app, target, subprotocols=["a", "b"], **options) as ws:
        assert await ws.recv() == "hello"
        assert ws.subprotocol == "b"
        assert (b"x-a", b"1") in [*ws.response_headers] or ws.response_headers["X-A"] == "1"
        await act(ws)
    return told


async def talk(ws: Any) -> None:
    await ws.send("text")
    await ws.send(b"bytes")
    await ws.send("")


async def leave(ws: Any) -> None:
    await ws.close(4001, "why")


@pytest.mark.parametrize("act", [talk, leave])
async def test_what_an_app_gets(act: Any) -> None:
    headers = [("X-One", "1"), ("x-one", "2"), ("Cookie", "a=b"), ("Host", "a.example")]
    ours, theirs = [
        await told_by(connected, act, headers=headers) for connected in (connect, over_tcp)
    ]
    assert ours[1:] == theirs[1:]
    for scope in (ours[0], theirs[0]):
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"sec-websocket-key"]
        scope["extensions"] = scope["extensions"].keys() - {"fastws"}
        del scope["client"], scope["server"]
    assert ours[0] == theirs[0]


@pytest.mark.parametrize("connected", [connect, over_tcp])
async def test_what_a_client_gets(connected: Connected) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "status": 418, "headers": [(b"X-Pot", b"small")]})
        await send({"type": "websocket.http.response.body", "body": b"a teapot"})

    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send(text("bye"))
        await send({**CLOSE, "code": 4002, "reason": "enough"})

    with pytest.raises(HandshakeError) as caught:
        async with connected(refuse, "/"):
            pass
    found = caught.value
    assert (found.status, found.reason, found.body) == (418, "I'm a Teapot", b"a teapot")
    assert (b"x-pot", b"small") in found.headers
    async with connected(close, "/") as ws:
        assert await ws.recv() == "bye"
        with pytest.raises(Disconnected) as ended:
            await ws.recv()
    end = ended.value
    assert (end.code, end.reason, end.clean) == (4002, "enough", True)


@pytest.mark.parametrize(
    "events",
    [
        [text("x")],
        [ACCEPT, ACCEPT],
        [ACCEPT, START],
        [START, ACCEPT],
        [ACCEPT, CLOSE, text("x")],
        [ACCEPT, CLOSE, CLOSE],
        [ACCEPT, {"type": "http.response.start", "status": 200}],
        [ACCEPT, {"type": "websocket.send"}],
        [ACCEPT, {"type": "websocket.send", "text": b"x"}],
        [ACCEPT, {"type": "websocket.send", "bytes": "x"}],
        [ACCEPT, {**CLOSE, "code": 1006}],
        [{**ACCEPT, "subprotocol": "x"}],
        [{**ACCEPT, "headers": [(b"x", b"\r\n")]}],
        [{**START, "status": 600}],
    ],
)
@pytest.mark.parametrize("connected", [connect, over_tcp])
async def test_what_neither_puts_up_with(connected: Connected, events: list[Event]) -> None:
    failed: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            try:
                await send(event)
            except (AssertionError, RuntimeError, TypeError, ValueError) as error:
                failed.append(type(error).__name__)
                raise

    with pytest.raises((AssertionError, Disconnected, HandshakeError)):
        async with connected(app, "/") as ws:
            await ws.recv()
    assert len(failed) == 1
    assert (failed == ["AssertionError"]) is (connected is connect)
