"""Peers that do not let go of a connection that is to end (T11)."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from fastws.limits import Limits
from tests.server.peer import BINARY, PING, TEXT, Peer, close, connected, frame, text
from tests.server.serving import ACCEPT, Receive, Script, Send, echo, fds, running
from tests.server.tls import TlsPeer, server_options

SOON = Limits(close_timeout=0.1)


async def closes(receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.close", "code": 1000})


async def never_answers(peer: Peer) -> None:
    assert await peer.ended() == (1000, "")


async def answers_and_stays(peer: Peer) -> None:
    await peer.send(close(1000))
    assert await peer.ended() == (1000, "")


async def never_reads(peer: Peer) -> None:
    pass


async def sends_for_ever(peer: Peer) -> None:
    message = frame(BINARY, b"x" * 10_000)
    with pytest.raises(ConnectionError):  # noqa: PT012
        while True:
            await peer.send(message)


async def pings_for_ever(peer: Peer) -> None:
    with pytest.raises(ConnectionError):  # noqa: PT012
        while True:
            await peer.send(frame(PING, b"x") * 10)
            await asyncio.sleep(0.001)


async def breaks_a_rule_and_stays(peer: Peer) -> None:
    await peer.send(frame(TEXT, b"x", mask=None))
    assert await peer.closed() == (1000, "")


PEERS = [
    never_answers,
    answers_and_stays,
    never_reads,
    sends_for_ever,
    pings_for_ever,
    breaks_a_rule_and_stays,
]


@pytest.mark.deep
@pytest.mark.parametrize("over", [Peer, TlsPeer])
@pytest.mark.parametrize("behave", PEERS)
async def test_a_peer_that_does_not_let_go_is_gone_at_close_timeout(
    behave: Callable[[Peer], asyncio.Future[None]], over: type[Peer]
) -> None:
    options = server_options() if over is TlsPeer else {}
    async with running(Script(closes), SOON, **options) as server:
        before = fds()
        peer = await over.connect(server.address, receive_buffer=4096)
        await peer.open()
        await behave(peer)
        await server.emptied()
        assert fds() == before + 1
        peer.close()


async def test_a_peer_that_does_not_read_what_goes_before_the_close() -> None:
    """The close frame waits behind 8 MB, and not longer than close_timeout."""

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "bytes": b"x" * 8_000_000})
        await send({"type": "websocket.close"})

    script = Script(act)
    async with running(script, SOON) as server:
        peer = await Peer.connect(server.address, receive_buffer=4096)
        await peer.open()
        await server.emptied()
        peer.close()


@pytest.mark.parametrize("over", [Peer, TlsPeer])
@pytest.mark.parametrize("ending", [close(1000), frame(TEXT, b"", mask=None), b""])
async def test_a_peer_that_ends_it_and_reads_nothing(ending: bytes, over: type[Peer]) -> None:
    """With a close frame, with a fault, or with the end of its side of TCP."""

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "bytes": b"x" * 8_000_000})
        await receive()

    script = Script(act)
    options: dict[str, Any] = {}
    limits = SOON.replace(ping_interval=None)
    if over is TlsPeer:
        # uvloop tells nobody of a FIN before all is sent, unless TLS was ended before it; then
        # what the heartbeat sees is that nothing is read.
        options = server_options()
        limits = SOON.replace(ping_interval=0.1, ping_timeout=0.1)
    async with running(script, limits, **options) as server:
        peer = await over.connect(server.address, receive_buffer=4096)
        await peer.open()
        await peer.send(ending)
        if not ending:
            peer.finish()
        await server.emptied()
        peer.close()


async def test_a_peer_that_breaks_a_rule_and_stays() -> None:
    """It gets the close frame and our end of TCP; then it has close_timeout for its own end."""
    async with running(echo, SOON) as server, connected(server.address) as peer:
        await peer.send(frame(3))
        assert (await peer.ended())[0] == 1002
        await server.emptied()
        assert peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, 104)


async def test_a_peer_that_still_sends_when_it_is_refused_learns_why() -> None:
    """Our TCP must not be reset by what comes after the fault, or the close frame is lost."""
    async with running(echo) as server, connected(server.address) as peer:
        await peer.send(frame(TEXT, b"\xff"), text("x" * 1000) * 1000)
        assert (await peer.ended())[0] == 1007
