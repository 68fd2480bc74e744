"""Floods against a server process: its memory is measured, and others are served (T1, T4, T10)."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastws.limits import KIB, MIB
from tests.processes import Server
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
    tcp,
    text,
    upgrade,
)
from tests.wire.memory import ASAN

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

DEFLATE = [(b"sec-websocket-extensions", b"permessage-deflate")]
APP = "tests.server.apps:app"

Serve = Callable[..., Server]


def forget_peak(server: Server) -> None:
    """Makes the peak of the process's memory what it is now."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def bounded(server: Server, growth: int) -> AsyncIterator[None]:
    """Asserts that the server's memory never grows by more, and that others are served."""
    address = (server.host, server.port)
    async with connected(address) as good:
        for _ in range(50):
            await good.send(text("x" * 50_000))
            await good.frame()
        forget_peak(server)
        before = server.memory("VmRSS")

        async def echo() -> None:
            i = 0
            while True:
                await good.send(text(f"{i}"))
                assert await good.frame() == Frame(TEXT, b"%d" % i)
                i += 1
                await asyncio.sleep(0.001)

        echoing = asyncio.create_task(echo())
        yield
        assert not echoing.done()
        echoing.cancel()
        peak = server.memory("VmHWM")
        # With ASAN everything takes more, and what is freed is kept for a while.
        assert ASAN or peak - before <= growth


async def pour(peer: Peer, block: bytes, times: int) -> None:
    """Sends much without reading; gives others a turn."""
    for _ in range(times):
        await peer.send(block)
        await asyncio.sleep(0)


@pytest.mark.deep
@pytest.mark.parametrize(("opcode", "payload"), [(PING, b""), (PING, b"x" * 125), (PONG, b"x")])
async def test_a_million_controls_of_a_peer_that_never_reads(
    opcode: int, payload: bytes, serve: Serve
) -> None:
    """F2: uvicorn's memory grows by 34 MB for 37 MB of pings."""
    server = serve(APP, env={"FASTWS_MAX_PING_RATE": "off"})
    async with (
        bounded(server, 1 * MIB),
        connected((server.host, server.port), receive_buffer=4096) as peer,
    ):
        await pour(peer, frame(opcode, payload) * 10_000, 100)


@pytest.mark.deep
@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_a_million_control_frames_are_over_the_rate(opcode: int, serve: Serve) -> None:
    server = serve(APP)
    async with (
        bounded(server, 1 * MIB),
        connected((server.host, server.port)) as peer,
    ):
        await peer.send(frame(opcode, b"x") * 10_000)
        assert (await peer.ended())[0] == 1008


@pytest.mark.deep
@pytest.mark.parametrize("payload", [b"", b"x"])
async def test_a_million_tiny_fragments(payload: bytes, serve: Serve) -> None:
    """Memory is for what they say, not for how many they are."""
    server = serve(APP, env={"FASTWS_MAX_TINY_FRAGMENTS": "off", "FASTWS_MAX_WIRE_SIZE": "off"})
    async with (
        bounded(server, 4 * MIB),
        connected((server.host, server.port)) as peer,
    ):
        await peer.send(frame(TEXT, payload, fin=False))
        await pour(peer, frame(CONTINUATION, payload, fin=False) * 10_000, 100)
        await peer.send(frame(CONTINUATION, b"end"))
        found = await peer.frame()
        assert found.payload == payload * 1_000_001 + b"end"


async def test_a_million_tiny_fragments_are_over_the_limit(serve: Serve) -> None:
    server = serve(APP)
    async with (
        bounded(server, 1 * MIB),
        connected((server.host, server.port)) as peer,
    ):
        flood = frame(CONTINUATION, b"", fin=False) * 20_000
        await peer.send(frame(TEXT, b"", fin=False), flood)
        # Not for the time that the message takes.
        assert await peer.ended() == (1008, "a message has over 16384 tiny fragments")


def bomb() -> bytes:
    """Compresses 1 GiB of zeros to about 1 MiB."""
    stream = zlib.compressobj(wbits=-15)
    # After a full flush the stream knows nothing of what came before.
    block = stream.compress(b"\0" * MIB) + stream.flush(zlib.Z_FULL_FLUSH)
    return (block * 1024)[:-4]


async def test_bombs(serve: Serve) -> None:
    """1 GiB in one frame, and in a thousand."""
    server = serve(APP)
    payload = bomb()
    size = len(payload) // 1000
    pieces = [payload[i : i + size] for i in range(0, len(payload), size)]
    middle = b"".join(frame(CONTINUATION, piece, fin=False) for piece in pieces[1:-1])
    bombs = [
        frame(BINARY, payload, rsv=4),
        frame(BINARY, pieces[0], fin=False, rsv=4) + middle + frame(CONTINUATION, pieces[-1]),
    ]
    for sent in bombs:
        # What it took on the wire, what is inflated until the limit is met, and a constant.
        async with (
            bounded(server, len(payload) + 2 * MIB + 1 * MIB),
            connected((server.host, server.port), "/ws", DEFLATE) as peer,
        ):
            await peer.send(sent)
            assert (await peer.ended())[0] == 1009


async def test_compressed_messages_without_end(serve: Serve) -> None:
    """What waits to be inflated is in memory; it is bounded by what it may inflate to."""
    server = serve(APP)
    noise = os.urandom(64 * KIB)
    # Twice the size of a message and 64 KiB, in a buffer that may have doubled just before.
    async with bounded(server, 4 * 2 * (2 * MIB + 64 * KIB) + 1 * MIB):
        peers = [await Peer.connect((server.host, server.port)) for _ in range(4)]
        for peer in peers:
            await peer.open("/ws", DEFLATE)
            await peer.send(frame(BINARY, noise, fin=False, rsv=4))
            await pour(peer, frame(CONTINUATION, noise, fin=False), 64)
            assert (await peer.ended())[0] == 1009
            peer.close()


async def test_heads_without_end(serve: Serve) -> None:
    """T13: 20 MB of one header, or of 100,000 of them, from each of twenty clients."""
    server = serve(APP)
    start = upgrade()[:-2]
    async with bounded(server, 20 * 2 * 64 * KIB + 1 * MIB):
        for filler in (b"x" * MIB, b"x-y: z\r\n" * 100_000):
            for _ in range(20):
                async with tcp((server.host, server.port)) as peer:
                    await peer.send(start + b"x: ")
                    sending = asyncio.create_task(pour(peer, filler, 20))
                    assert (await peer.refused())[0] == 431
                    sending.cancel()
                    await asyncio.wait([sending])


@pytest.mark.parametrize("size", [0, 1, 1000])
async def test_messages_that_nobody_receives(size: int, serve: Serve) -> None:
    """T25."""
    server = serve(APP)
    async with (
        bounded(server, 2 * MIB),
        connected((server.host, server.port), "/sleep") as peer,
    ):
        quiet = sent = 0
        block = frame(BINARY, b"x" * size) * (64_000 // (size + 6))
        while quiet < 50:
            taken = peer.send_some(block[sent % len(block) :])
            sent += taken
            quiet = 0 if taken else quiet + 1
            await asyncio.sleep(0.001)


async def test_an_app_that_sends_to_peers_that_do_not_read(serve: Serve) -> None:
    """Twenty of them; each may keep 64 KiB and a message waiting."""
    server = serve(APP)
    address = (server.host, server.port)
    async with bounded(server, 20 * 128 * KIB):
        peers = [await Peer.connect(address, receive_buffer=4096) for _ in range(20)]
        for peer in peers:
            await peer.open("/flood")
        await asyncio.sleep(0.3)
        for peer in peers:
            peer.close()


async def test_frames_byte_by_byte(serve: Serve) -> None:
    server = serve(APP)
    async with (
        bounded(server, 1 * MIB),
        connected((server.host, server.port)) as peer,
    ):
        message = text("x" * 5000)
        await peer.dribble(message)
        assert (await peer.frame()).payload == b"x" * 5000
