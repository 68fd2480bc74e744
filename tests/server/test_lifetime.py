"""Connections that have lived long enough make room, each at an age of its own."""

import pytest

from fastws.limits import Limits
from fastws.testing import Clock
from tests.server.peer import TEXT, Frame, Peer, close, connected, text
from tests.server.serving import ACCEPT, ON_CLOCK, Receive, Scope, Send, echo, running

LIMITS = Limits(max_lifetime=100.0, ping_interval=None, drain_window=0.0)

pytestmark = ON_CLOCK


async def is_open(peer: Peer) -> bool:
    await peer.send(text("still there?"))
    return await peer.frame() == Frame(TEXT, b"still there?")


async def test_they_are_closed_with_a_hint_when_to_come_back(clock: Clock) -> None:
    async with running(echo, LIMITS) as server, connected(server.address) as peer:
        await clock.advance(90)
        assert await is_open(peer)
        # The sweep may be half a second late.
        await clock.advance(10.5)
        await peer.restarted()
        await peer.send(close(1012))
        assert await peer.rest() == b""


async def test_those_who_came_together_do_not_leave_together(clock: Clock) -> None:
    async with running(echo, LIMITS) as server:
        peers = [await Peer.connect(server.address) for _ in range(100)]
        for peer in peers:
            await peer.open()
        await clock.advance(89.5)
        left = []
        for _ in range(11):
            await clock.advance(1)
            for peer in [peer for peer in peers if peer.socket.fileno() >= 0]:
                if received(peer):
                    peer.close()
            left.append(sum(peer.socket.fileno() >= 0 for peer in peers))
        assert left[0] == 100 or left[0] > left[5]
        assert len(set(left)) > 5
        assert left[-1] == 0


def received(peer: Peer) -> bool:
    """Tells whether anything has come; what has stays."""
    try:
        return len(peer.socket.recv(1)) >= 0
    except BlockingIOError:
        return False


async def test_a_connection_may_have_its_own(clock: Clock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        limits = LIMITS.replace(max_lifetime=None) if scope["path"] == "/long" else LIMITS
        await send({**ACCEPT, "fastws": {"limits": limits}})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})

    async with (
        running(app, LIMITS) as server,
        connected(server.address, "/long") as long,
        connected(server.address) as short,
    ):
        await clock.advance(101)
        await short.restarted()
        await clock.advance(300)
        assert await is_open(long)


@pytest.mark.parametrize("limits", [Limits(ping_interval=None)])
async def test_there_is_none_by_default(clock: Clock, limits: Limits) -> None:
    async with running(echo, limits) as server, connected(server.address) as peer:
        await clock.advance(300)
        assert await is_open(peer)
