"""Memory that connections, their hub and its event loop give back."""

import asyncio
import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from fastws.aio.fanout import publish
from fastws.aio.hub import hub_of
from fastws.limits import KIB, MIB, Limits
from fastws.wire import PreparedMessage
from tests.aio.playing import acting
from tests.server.peer import Peer, connected, frame, tcp, text, upgrade
from tests.server.serving import Receive, Scope, Send, limit_kernel, running, until
from tests.wire.memory import COUNTED, allocated
from tests.wire.reference import BINARY

# What the collector frees meanwhile would count.
pytestmark = pytest.mark.usefixtures("no_gc")

DEFLATE = [(b"sec-websocket-extensions", b"permessage-deflate")]


async def answer(peer: Peer) -> int:
    """Receive a frame; return the size of its payload, which is freed."""
    return len((await peer.frame()).payload)


@COUNTED
@pytest.mark.parametrize("within", ["a read", "no read"])
async def test_a_large_answer_leaves_no_buffer(within: str) -> None:
    """All connections of a loop share the buffers for compressed messages."""
    noise = random.Random(1).randbytes(2 * MIB)

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        await receive()
        if within == "no read":
            await asyncio.sleep(0)
        await send({"type": "websocket.send", "bytes": noise})
        await receive()

    async with running(acting(act)) as server:
        before = allocated()
        async with connected(server.address, "/ws", DEFLATE) as peer:
            await peer.send(text("x"))
            assert await answer(peer) > MIB
        await server.emptied()
        assert allocated() - before < MIB


@COUNTED
async def test_broadcasts_leave_no_buffer() -> None:
    """Members share the frames of one turn of the loop; its end frees them."""
    members: dict[Any, None] = {}
    message = PreparedMessage(b"x" * 15 * KIB)

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        members[connection] = None
        await receive()

    async with (
        running(acting(act)) as server,
        connected(server.address) as one,
        connected(server.address) as two,
    ):
        await until(lambda: len(members) == 2)
        before = 0
        for _ in range(200):
            assert publish(members, message) == []
            assert await answer(one) == await answer(two) == 15 * KIB
            before = before or allocated()
        assert allocated() - before < 512 * KIB


@COUNTED
@pytest.mark.parametrize("how", ["reset", "abort"])
async def test_unsent_messages_go_with_their_peer(how: str) -> None:
    """The app runs on and holds its connection, which frees all that is unsent."""
    connections: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        limit_kernel(server)
        connections.append(connection)
        for _ in range(8):
            assert connection.send_prepared(PreparedMessage(bytes(MIB)))
        filled.set()
        await may_end.wait()

    filled, may_end = asyncio.Event(), asyncio.Event()
    before = allocated()
    async with (
        running(acting(act), Limits(max_unsent=16 * MIB)) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        await filled.wait()
        assert allocated() - before > 7 * MIB
        if how == "reset":
            peer.reset()
        else:
            connections[0].abort()
        await until(lambda: not server.connections)
        assert server.tasks
        assert allocated() - before < MIB
        may_end.set()


@COUNTED
async def test_early_frames_go_with_the_answer() -> None:
    """50 clients send 60 KiB each in one segment with their requests."""
    count = 50
    waiting = 0

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        nonlocal waiting
        await receive()
        waiting += 1
        await receive()

    async with running(acting(act)) as server:
        before = allocated()
        peers = [await Peer.connect(server.address) for _ in range(count)]
        for peer in peers:
            await peer.send(upgrade(), frame(BINARY, bytes(60 * KIB)))
        await until(lambda: waiting == count)
        assert allocated() - before < count * 30 * KIB
        for peer in peers:
            peer.close()


@COUNTED
async def test_early_frames_go_with_their_client() -> None:
    """The app holds the handshake open after the client has closed TCP."""
    count = 50
    waiting = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal waiting
        waiting += 1
        await may_end.wait()

    may_end = asyncio.Event()
    async with running(app) as server:
        before = allocated()
        for number in range(1, count + 1):
            async with tcp(server.address) as peer:
                await peer.send(upgrade(), frame(BINARY, bytes(60 * KIB)))
                await until(lambda number=number: waiting == number)  # type: ignore[misc]
        await until(lambda: not server.connections)
        assert len(server.tasks) == count
        assert allocated() - before < count * 30 * KIB
        may_end.set()


@pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.Loop])
def test_a_closed_loop_leaves_no_hub(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The first connection of a new loop frees the hubs of closed loops."""
    left = []
    for _ in range(3):
        loop = new_loop()
        hub_of(loop)
        left.append(weakref.ref(loop))
        loop.close()
        del loop
    last = new_loop()
    hub_of(last)
    gc.collect()
    assert [ref() for ref in left] == [None] * 3
    assert hub_of(last).loop is last
    last.close()
