"""No byte of one connection is ever seen by another, nor one that nobody has written (T23)."""

import asyncio
import random
import zlib

import pytest

from fastws.limits import KIB
from tests.server.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    Address,
    Peer,
    close,
    frame,
    tcp,
)
from tests.server.serving import echo, running
from tests.server.tls import TlsPeer, server_options

DEFLATE = [(b"sec-websocket-extensions", b"permessage-deflate")]
SIZES = [0, 1, 100, 125, 126, 1000, 20 * KIB, 70 * KIB, 200 * KIB]


class Visitor:
    """A client all of whose bytes are the same, and no other client's."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.byte = bytes([number])
        self.rng = rng
        self.compressed = rng.random() < 0.5

    def canary(self) -> bytes:
        return self.byte * self.rng.choice(SIZES)

    def message(self) -> bytes:
        """A message, whole or in fragments with a ping between them."""
        canary = self.canary()
        if self.rng.random() < 0.5:
            return frame(BINARY, canary)
        ping = frame(PING, self.byte * self.rng.randrange(126))
        return frame(BINARY, canary, fin=False) + ping + frame(CONTINUATION, self.byte)

    async def visit(self, address: Address, over: type[Peer]) -> None:
        buffer = self.rng.choice([None, 4096])
        async with tcp(address, receive_buffer=buffer, over=over) as peer:
            await peer.open("/ws", DEFLATE if self.compressed else [])
            for _ in range(self.rng.randrange(5)):
                await self.talk(peer)
            await self.leave(peer)

    async def talk(self, peer: Peer) -> None:
        """Sends several messages, and only then reads: some wait on the other side."""
        messages = [self.message() for _ in range(self.rng.randrange(1, 5))]
        sending = asyncio.create_task(peer.send(*messages))
        await asyncio.sleep(0)
        due = len(messages)
        while due:
            due -= await self.check(peer) == BINARY
        await sending

    async def check(self, peer: Peer) -> int:
        """Receives a frame of which every byte has to be ours; gives its opcode."""
        found = await peer.frame()
        payload = found.payload
        assert found.opcode in (BINARY, PONG)
        if found.rsv:
            payload = zlib.decompressobj(wbits=-15).decompress(payload)
        assert payload.strip(self.byte) == b""
        return found.opcode

    async def leave(self, peer: Peer) -> None:
        """Ends it, with or without what waits to be read, and inside a frame or not."""
        how = self.rng.randrange(4)
        if how == 0:
            await peer.send(close(3000, self.byte.decode("latin-1")))
            assert (await peer.frame())[:2] == (CLOSE, (3000).to_bytes(2, "big"))
            assert await peer.rest() == b""
            return
        unread = self.message() if how != 1 else b""
        await peer.send(unread, frame(BINARY, self.byte * 5000)[: self.rng.randrange(5000)])
        if how == 3:
            peer.reset()


@pytest.mark.parametrize("over", [Peer, TlsPeer])
async def test_a_storm_of_connections(over: type[Peer]) -> None:
    rng = random.Random(23)
    numbers = list(range(1, 127))
    options = server_options() if over is TlsPeer else {}

    async with running(echo, ws_max_queue=2, **options) as server:

        async def visits() -> None:
            for _ in range(10):
                number = numbers.pop(rng.randrange(len(numbers)))
                await Visitor(number, rng).visit(server.address, over)
                numbers.append(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(visits())
        await server.emptied()
