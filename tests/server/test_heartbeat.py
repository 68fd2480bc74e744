"""Pings: silence is asked about, and a peer that does not answer is dead; a busy one never is."""

import asyncio
import gc
import logging
from typing import Any

import pytest

from fastws.errors import ClientDisconnected
from fastws.limits import KIB, Limits
from fastws.testing import Clock
from tests.server.peer import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    connected,
    frame,
    text,
)
from tests.server.serving import (
    ACCEPT,
    ON_CLOCK,
    Receive,
    Scope,
    Script,
    Send,
    echo,
    limit_kernel,
    running,
    until,
)

FAST = Limits(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05)
SECONDS = Limits(ping_interval=1.0, ping_timeout=1.0)  # of a clock


async def test_a_silent_peer_is_pinged_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def act(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        return await receive()

    caplog.set_level(logging.INFO)
    script = Script(act)
    async with running(script, FAST) as server, connected(server.address) as peer:
        ping = await peer.frame()
        assert (ping.opcode, len(ping.payload)) == (PING, 4)
        assert await peer.ended() == (1011, "keepalive ping timeout")
        event = {
            "type": "websocket.disconnect",
            "code": 1011,
            "reason": "keepalive ping timeout",
        }
        assert await script.outcome == event
        await server.emptied()
    assert "1011 keepalive ping timeout" in caplog.text


async def answer(peer: Peer, pings: int) -> None:
    """Answers so many pings, with nothing else."""
    for _ in range(pings):
        ping = await peer.frame()
        assert ping.opcode == PING
        await peer.send(frame(PONG, ping.payload))


async def test_a_peer_that_answers_stays() -> None:
    """The next ping comes only if the pong was taken for an answer to the one before."""
    limits = FAST.replace(ping_timeout=5.0)
    async with running(echo, limits) as server, connected(server.address) as peer:
        await answer(peer, 10)
        await peer.send(text("still here"))
        while (found := await peer.frame()).opcode == PING:
            pass
        assert found == Frame(TEXT, b"still here")


@ON_CLOCK
async def test_whatever_comes_is_a_sign_of_life(clock: Clock) -> None:
    """No pong of this peer answers a ping, but all the time something comes."""
    signs = [
        text("x"),
        frame(PONG),
        frame(PONG, b"unasked"),
        frame(PING),
        frame(TEXT, b"", fin=False),
        frame(CONTINUATION, b"", fin=False),
        frame(CONTINUATION, b"x"),
    ]
    async with running(echo, SECONDS) as server, connected(server.address) as peer:
        for sign in signs * 2:
            await peer.send(sign)
            await clock.advance(1.5)
        await peer.send(frame(PING, b"end"))
        while (await peer.frame()) != Frame(PONG, b"end"):
            pass
        await clock.advance(2.5)
        assert await peer.ended() == (1011, "keepalive ping timeout")


@ON_CLOCK
async def test_a_byte_is_a_sign_of_life(clock: Clock) -> None:
    """A large message on a slow line: no frame comes to its end for a long time."""
    limits = SECONDS.replace(message_timeout=None)
    async with running(echo, limits) as server, connected(server.address) as peer:
        message = text("x" * 10)
        for i in range(len(message)):
            await peer.send(message[i : i + 1])
            await clock.advance(1.5)
        while (found := await peer.frame()).opcode == PING:
            pass
        assert found == Frame(TEXT, b"x" * 10)


@ON_CLOCK
async def test_an_app_that_does_not_receive_keeps_its_peer(clock: Clock) -> None:
    """The pongs wait behind messages that the app does not take: that is no silence."""
    awake = asyncio.Event()

    async def act(receive: Receive, send: Send) -> str:
        await receive()
        await send(ACCEPT)
        await awake.wait()
        while (event := await receive())["text"] == "":
            pass
        return str(event["text"])

    script = Script(act)
    async with running(script, SECONDS) as server, connected(server.address) as peer:
        await peer.send(text("") * 1000)
        (connection,) = server.connections
        await clock.settle()
        assert not connection.transport.is_reading()
        await clock.advance(5)  # twice what a dead peer has
        await peer.send(text("alive"))
        awake.set()
        assert await script.outcome == "alive"


@ON_CLOCK
async def test_a_peer_that_reads_slowly_stays(clock: Clock) -> None:
    """It answers no ping for a long time, since it has not come to it yet."""
    size, count = 200 * KIB, 40

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        limit_kernel(server)
        for _ in range(count):
            await send({"type": "websocket.send", "bytes": b"x" * size})

    script = Script(act)
    async with (
        running(script, SECONDS) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        for _ in range(count):
            while (found := await peer.frame()).opcode == PING:
                pass
            assert len(found.payload) == size
            await clock.advance(0.5)
        await script.outcome


async def test_a_peer_that_reads_nothing_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        with pytest.raises(ClientDisconnected) as caught:  # noqa: PT012
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 64 * KIB})
        assert caught.value.code == 1008

    caplog.set_level(logging.INFO)
    script = Script(act)
    async with (
        running(script, FAST) as server,
        connected(server.address, receive_buffer=4096),
    ):
        await script.outcome
        await server.emptied()
    assert "1008 nothing was read for too long" in caplog.text


async def test_a_peer_that_sends_and_reads_nothing_is_given_up() -> None:
    """What it sends shows that it is alive; what waits for it is in our memory."""
    limits = FAST.replace(max_ping_rate=None)
    async with (
        running(echo, limits) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        block = frame(BINARY, b"x" * 64 * KIB) + frame(PING)
        with pytest.raises(ConnectionError):  # noqa: PT012
            while True:
                peer.send_some(block)
                await asyncio.sleep(0.001)
        await server.emptied()


async def test_without_an_interval_nobody_is_pinged() -> None:
    limits = Limits(ping_interval=None, ping_timeout=0.01)
    async with running(echo, limits) as server, connected(server.address) as peer:
        # Deadlines of others make the sweep run often.
        async with running(echo, FAST) as other:
            for _ in range(2):
                async with connected(other.address) as dead:
                    await dead.ended()
        await peer.send(text("x"))
        assert await peer.frame() == Frame(TEXT, b"x")


async def test_without_a_timeout_nobody_is_given_up() -> None:
    limits = FAST.replace(ping_timeout=None)
    async with running(echo, limits) as server, connected(server.address) as peer:
        for _ in range(8):
            assert (await peer.frame()).opcode == PING
        await peer.send(text("x"))
        while (found := await peer.frame()).opcode == PING:
            pass
        assert found == Frame(TEXT, b"x")


async def test_uvicorns_settings_hold() -> None:
    async with (
        running(echo, ws_ping_interval=0.05, ws_ping_timeout=0.05) as server,
        connected(server.address) as peer,
    ):
        assert (await peer.frame()).opcode == PING
        assert (await peer.ended())[0] == 1011


async def test_limits_at_accept_hold() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT | {"fastws": {"limits": FAST}})
        await receive()

    async with running(app) as server, connected(server.address) as peer:
        assert (await peer.frame()).opcode == PING
        assert (await peer.ended())[0] == 1011


# The app's own pings.


async def test_an_app_measures_the_round_trip() -> None:
    times: list[float] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["extensions"]["fastws"]["connection"]
        await receive()
        await send(ACCEPT)
        times.extend([await connection.ping(), await connection.ping(), connection.rtt])
        await send({"type": "websocket.close"})

    async with running(app) as server, connected(server.address) as peer:
        await answer(peer, 2)
        assert await peer.closed() == (1000, "")
        assert times[0] > 0
        assert times[1] == times[2] > 0


async def test_a_pong_answers_the_pings_before_it_as_well() -> None:
    done: list[list[bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["extensions"]["fastws"]["connection"]
        await receive()
        await send(ACCEPT)
        pings = [connection.ping() for _ in range(3)]
        for _ in range(3):
            await receive()
            done.append([ping.done() for ping in pings])
        with pytest.raises(ClientDisconnected):
            await pings[2]

    async with running(app) as server, connected(server.address) as peer:
        payloads = [(await peer.frame()).payload for _ in range(3)]
        assert len(set(payloads)) == 3
        for i, payload in enumerate([b"no ping had this", payloads[1], payloads[0]]):
            await peer.send(frame(PONG, payload), text("x"))
            await until(lambda i=i: len(done) > i)  # type: ignore[misc]
        peer.reset()
        await server.emptied()
    assert done == [[False] * 3, [True, True, False], [True, True, False]]


async def test_a_peer_that_sends_but_does_not_answer_pings_costs_nothing() -> None:
    """Each ping of the heartbeat is forgotten with the next one."""
    limits = FAST.replace(ping_interval=0.01, ping_timeout=60.0)
    async with running(echo, limits) as server, connected(server.address) as peer:
        for _ in range(30):
            assert (await peer.frame()).opcode == PING
            await peer.send(frame(PONG, b"not this one"))
        (connection,) = server.connections
        kept = [found for found in gc.get_referents(connection) if type(found) is dict]
        assert max(map(len, kept)) < 20
