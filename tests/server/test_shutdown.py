"""Shutdown: everybody is told, nobody can hold it up."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from fastws.errors import ClientDisconnected
from fastws.limits import KIB, Limits
from tests.processes import Server
from tests.server.peer import (
    BINARY,
    PING,
    TEXT,
    Frame,
    Peer,
    close,
    connected,
    frame,
    request,
    tcp,
    text,
    upgrade,
)
from tests.server.serving import ACCEPT, Event, Receive, Scope, Script, Send, echo, running, until

SOON = Limits(close_timeout=0.1, drain_window=0.1)


async def test_clients_and_apps_are_told() -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        events.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "too late"})

    async with running(app) as server:
        peers = [await Peer.connect(server.address) for _ in range(5)]
        for peer in peers:
            await peer.open()
        ending = server.shut_down()
        reasons = []
        for peer in peers:
            reasons.append(await peer.restarted())
            await peer.send(close(1012))
            assert await peer.rest() == b""
            peer.close()
        await ending
        assert not server.connections
    told = [{"type": "websocket.disconnect", "code": 1012, "reason": text} for text in reasons]
    assert sorted(events, key=str) == sorted(told, key=str)
    assert len(set(reasons)) > 1


async def test_a_drain_is_spread_over_its_window() -> None:
    """Many clients, so that they do not all come back at once."""
    limits = Limits(drain_window=0.4)
    async with running(echo, limits) as server:
        peers = [await Peer.connect(server.address) for _ in range(100)]
        for peer in peers:
            await peer.open()

        async def leave(peer: Peer) -> float:
            await peer.restarted()
            await peer.send(close(1012))
            await peer.rest()
            peer.close()
            return monotonic()

        start = monotonic()
        ending = server.shut_down()
        times = [time - start for time in await asyncio.gather(*map(leave, peers))]
        await ending
    # Not all in one turn of the loop; how long it really takes is not for a test.
    assert len({round(time, 2) for time in times}) > 2


async def test_handshakes_end() -> None:
    async def act(receive: Receive, send: Send) -> Event:
        assert (await receive())["type"] == "websocket.connect"
        event = await receive()
        with pytest.raises(ClientDisconnected):
            await send(ACCEPT)
        return event

    script = Script(act)
    async with running(script, SOON) as server:
        async with (
            tcp(server.address) as waiting,
            tcp(server.address) as half,
            tcp(server.address) as silent,
        ):
            await waiting.send(upgrade())
            await half.send(upgrade()[:-1])
            await until(lambda: len(server.tasks) == 1 and len(server.connections) == 3)
            ending = server.shut_down()
            assert (await waiting.refused())[0] == 503
            assert await half.rest() == b""
            assert await silent.rest() == b""
            assert (await script.outcome)["code"] == 1006
        await ending


async def test_an_app_that_does_not_listen_is_not_asked() -> None:
    """Nothing is logged as an error for what is no mistake of the app's."""

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await released.wait()
        await send(ACCEPT)

    released = asyncio.Event()
    script = Script(act)
    async with running(script, SOON) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        await until(lambda: server.tasks)
        ending = server.shut_down()
        assert (await peer.refused())[0] == 503
        released.set()
        with pytest.raises(ClientDisconnected):
            await script.outcome
        await ending


async def test_a_denial_in_progress_ends() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body", "body": b"one", "more_body": True})
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["type"] == "websocket.disconnect"

    script = Script(act)
    async with running(script, SOON) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        assert (await peer.head()).status == 401
        ending = server.shut_down()
        assert await peer.rest() == b"one"
        peer.close()
        await script.outcome
        await ending


async def test_a_denial_whose_client_has_just_left() -> None:
    """Nobody has read its reset yet; that must not end the shutdown of all others."""

    async def act(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body", "body": b"one", "more_body": True})
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["type"] == "websocket.disconnect"

    script = Script(act)
    async with running(script, SOON) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        assert (await peer.head()).status == 401
        peer.reset()
        await server.shut_down()
        await script.outcome


async def test_plain_http_comes_to_its_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await released.wait()
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    released = asyncio.Event()
    async with running(app) as server, tcp(server.address) as busy, tcp(server.address) as idle:
        await busy.send(request())
        await until(lambda: server.tasks)
        ending = server.shut_down()
        assert await idle.rest() == b""
        released.set()
        assert (await busy.head()).status == 200
        assert await busy.rest() == b"done"
        await ending


# Peers that hold on.


async def answers_nothing(peer: Peer) -> None:
    pass


async def has_half_a_message(peer: Peer) -> None:
    await peer.send(text("xyz")[:-1])


async def sends_for_ever(peer: Peer) -> None:
    message = frame(BINARY, b"x" * 10_000) + frame(PING)
    with pytest.raises(ConnectionError):  # noqa: PT012
        while True:
            await peer.send(message)
            await asyncio.sleep(0)


async def has_closed_already(peer: Peer) -> None:
    await peer.send(close(1000))


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(
    "behave", [answers_nothing, has_half_a_message, sends_for_ever, has_closed_already]
)
async def test_nobody_holds_it_up(behave: Callable[[Peer], Awaitable[None]], reads: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if not reads:
            await send({"type": "websocket.send", "bytes": b"x" * 8_000_000})
        while (await receive())["type"] == "websocket.receive":
            pass

    async with (
        running(app, SOON) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        behaving = asyncio.ensure_future(behave(peer))
        await asyncio.sleep(0.01)
        await server.shut_down()
        assert not server.connections
        await behaving


async def test_many_stuck_peers_do_not_add_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(200):
            await send({"type": "websocket.send", "bytes": b"x" * 64 * KIB})

    async with running(app, SOON) as server:
        peers = [await Peer.connect(server.address, receive_buffer=4096) for _ in range(20)]
        for peer in peers:
            await peer.open()
        await server.shut_down()
        assert not server.connections
        for peer in peers:
            peer.close()


# The process.

ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)  # of the peers
PLAIN = ["--http", "fastws.server:HttpProtocol", "--ws", "fastws.server:WebSocketProtocol"]
TIMES = {"FASTWS_DRAIN_WINDOW": "0.2", "FASTWS_CLOSE_TIMEOUT": "0.3"}


@ONE_LOOP
@pytest.mark.parametrize("options", [[], ["--loop", "asyncio"], ["--workers", "2"], PLAIN])
async def test_sigterm_ends_the_process(options: list[str], serve: Callable[..., Server]) -> None:
    """With peers that read and answer, and others that do neither."""
    plain = options is PLAIN
    server = serve("tests.server.apps:app", *options, uvicorn=plain, env=TIMES)
    address = (server.host, server.port)
    stuck = [await Peer.connect(address, receive_buffer=4096) for _ in range(3)]
    for peer in stuck:
        await peer.open("/flood")
    half = await Peer.connect(address)
    await half.send(upgrade()[:-1])
    async with connected(address) as peer:
        await peer.send(text("x"))
        assert await peer.frame() == Frame(TEXT, b"x")
        ending = asyncio.create_task(asyncio.to_thread(server.stop, signal.SIGTERM))
        await peer.restarted()
        await peer.send(close(1012))
        assert await peer.rest() == b""
        assert await ending in (0, -signal.SIGTERM)
    for peer in [*stuck, half]:
        peer.close()
    assert "Traceback" not in server.output
    assert "shutdown exceeded" not in server.output


@ONE_LOOP
async def test_an_app_that_does_not_end_is_cancelled(serve: Callable[..., Server]) -> None:
    """It has the window, the timeout and a second; then its task is cancelled."""
    server = serve("tests.server.apps:app", env=TIMES)
    async with connected((server.host, server.port), "/sleep"):
        assert await asyncio.to_thread(server.stop, signal.SIGTERM) in (0, -signal.SIGTERM)
    assert "shutdown exceeded" in server.output
