"""TLS: its handshake, its end, and records that are cut anywhere."""

import asyncio
from collections.abc import Callable

import pytest

from fastws.limits import KIB, MIB, Limits
from tests.server.peer import (
    BINARY,
    PING,
    PONG,
    Frame,
    Peer,
    close,
    connected,
    frame,
    tcp,
    text,
    upgrade,
)
from tests.server.serving import echo, hello, running
from tests.server.tls import TlsPeer, server_options

IMPATIENT = Limits(handshake_timeout=0.1, close_timeout=0.1)


async def test_messages_of_all_sizes_both_ways() -> None:
    """The peer reads late, and in small pieces."""
    sizes = [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_535, 65_536, 300 * KIB, MIB, 5]
    async with (
        running(echo, **server_options()) as server,
        connected(server.address, receive_buffer=4096, over=TlsPeer) as peer,
    ):
        sent = [bytes([i]) * size for i, size in enumerate(sizes)]
        sending = asyncio.create_task(peer.send(*(frame(BINARY, message) for message in sent)))
        for message in sent:
            assert await peer.frame() == Frame(BINARY, message)
        await sending
        await peer.send(frame(PING, b"x"), close(1000))
        assert await peer.frame() == Frame(PONG, b"x")
        assert await peer.closed() == (1000, "")
        assert await peer.rest() == b""


@pytest.mark.parametrize("beginning", [b"", b"GET /ws HTTP/1.1\r\n", upgrade()[:-1]])
async def test_a_handshake_has_its_deadline(beginning: bytes) -> None:
    async with (
        running(hello, IMPATIENT, **server_options()) as server,
        tcp(server.address, over=TlsPeer) as peer,
    ):
        await peer.send(beginning)
        rest = await peer.rest()
        assert rest.startswith(b"HTTP/1.1 408 ") if beginning else rest == b""
        await server.emptied()


async def test_a_refusal_arrives_and_ends_the_connection() -> None:
    async with (
        running(hello, IMPATIENT, **server_options()) as server,
        tcp(server.address, over=TlsPeer) as peer,
    ):
        await peer.send(upgrade(headers=[(b"sec-websocket-version", b"12")]), b"x" * 100)
        assert (await peer.refused())[0] == 426
        await server.emptied()


class Cut(TlsPeer):
    """A peer that stops after so many bytes of an exchange."""

    left = 0

    async def exchange(self) -> None:
        await self.send(upgrade())
        await self.opened()
        await self.send(text("x" * 200), close(1000))
        await self.rest()

    def take(self, data: bytes) -> bytes:
        if len(data) > self.left:
            self.socket.send(data[: self.left])
            raise EOFError
        self.left -= len(data)
        return data


@pytest.mark.parametrize("how", [Peer.reset, Peer.close, Peer.finish])
async def test_a_peer_that_vanishes_at_any_byte(how: Callable[[Peer], None]) -> None:
    """Of the handshake of TLS, of ours, of a message; every byte would take too long."""
    left, whole = 0, False
    async with running(hello, IMPATIENT, **server_options()) as server:
        while not whole:
            peer = await Cut.connect(server.address)
            peer.left, peer.on_send = left, peer.take
            try:
                await peer.exchange()
                whole = True
            except EOFError:
                left += 17
            how(peer)
            await server.emptied()
            peer.close()
    assert left > 1000
