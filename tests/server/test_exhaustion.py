"""What runs out: patience, connections, file descriptors, memory (T16, T26)."""

import asyncio
import resource
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from fastws.limits import MIB, Limits
from fastws.testing import Clock
from tests.processes import PATIENCE, Process, Server
from tests.server.peer import (
    BINARY,
    CONTINUATION,
    TEXT,
    Address,
    Frame,
    Peer,
    connected,
    frame,
    request,
    tcp,
    text,
    upgrade,
)
from tests.server.serving import ON_CLOCK, Receive, Scope, Send, hello, running, until
from tests.wire.memory import ASAN

HALF = 5000  # handshakes that do not go on; each takes a file descriptor here, and one there
ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)  # of the peers


async def echoes(peer: Peer) -> None:
    """Asserts that a WebSocket is alive."""
    await peer.send(text("x"))
    assert await peer.frame() == Frame(TEXT, b"x")


async def until_served(address: Address) -> None:
    """Tries until a new connection is served."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(AssertionError, ConnectionError, EOFError):
                async with connected(address) as peer:
                    await echoes(peer)
                    return
            await asyncio.sleep(0.01)


@ON_CLOCK
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", upgrade()[:-1]])
async def test_half_a_handshake_does_not_keep_others_out(sent: bytes, clock: Clock) -> None:
    """T16: hundreds of clients that begin and do not go on."""
    async with running(hello, Limits(handshake_timeout=0.5)) as server:
        slow = [await Peer.connect(server.address) for _ in range(200)]
        for peer in slow:
            if sent:
                await peer.send(sent)
        for _ in range(10):
            async with connected(server.address) as good:
                await echoes(good)
        async with connected(server.address) as good:
            await clock.advance(0.6)
            for peer in slow:
                rest = await peer.rest()
                assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")
                peer.close()
            await until(lambda: len(server.connections) == 1)
            await echoes(good)


@pytest.fixture
def many_fds() -> Iterator[None]:
    """Lets this process, and those that it starts, have as many files open as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def begin_handshakes(address: Address, count: int) -> list[Peer]:
    """Opens connections, and sends no more than a part of a request over each."""
    long = upgrade(headers=[(b"x", b"y" * 999)])
    beginnings = [b"", b"GET /ws HTTP/1.1\r\n", upgrade()[:-1], long[:-1]]
    peers = []
    for i in range(count):
        peers.append(await Peer.connect(address))
        if sent := beginnings[i % len(beginnings)]:
            await peers[-1].send(sent)
    return peers


@pytest.mark.deep
@ONE_LOOP
@pytest.mark.usefixtures("many_fds")
async def test_five_thousand_half_handshakes(serve: Callable[..., Server]) -> None:
    """T16: good clients connect while all of them are there."""
    server = serve("tests.server.apps:app", env={"FASTWS_HANDSHAKE_TIMEOUT": "600"})
    address = (server.host, server.port)
    before = open_files(server)
    slow = await begin_handshakes(address, HALF)
    for _ in range(20):
        # Its turn comes after that of all who came before it.
        async with connected(address) as good:
            await echoes(good)
            assert open_files(server) >= before + HALF + 1
    for peer in slow:
        peer.close()
    await until(lambda: open_files(server) == before)


@pytest.mark.deep
@ONE_LOOP
@pytest.mark.usefixtures("many_fds")
async def test_five_thousand_half_handshakes_end(serve: Callable[..., Server]) -> None:
    """T16: all of them at their deadline, and nobody else."""
    times = {"FASTWS_HANDSHAKE_TIMEOUT": "0.5", "FASTWS_CLOSE_TIMEOUT": "0.5"}
    server = serve("tests.server.apps:app", env=times)
    address = (server.host, server.port)
    before = open_files(server)
    async with connected(address) as good:
        slow = await begin_handshakes(address, HALF)
        await until(lambda: open_files(server) == before + 1)
        await echoes(good)
        for peer in slow:
            rest = await peer.gone()
            assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")
            peer.close()


def open_files(server: Server) -> int:
    """Counts the file descriptors of a server process."""
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


async def test_connections_have_a_limit() -> None:
    async with (
        running(hello, Limits(max_connections=3)) as server,
        connected(server.address) as one,
        connected(server.address) as two,
    ):
        async with connected(server.address):
            async with tcp(server.address) as peer:
                await peer.send(upgrade())
                assert (await peer.refused())[0] == 503
            async with tcp(server.address) as peer:
                await peer.dribble(upgrade())
                assert (await peer.refused())[0] == 503
        await until(lambda: len(server.connections) == 2)
        async with connected(server.address) as three:
            for peer in (one, two, three):
                await echoes(peer)


async def test_far_above_the_limit_nobody_is_let_in() -> None:
    """Connections that say nothing must not take what others need."""
    async with (
        running(hello, Limits(max_connections=3)) as server,
        connected(server.address) as good,
    ):
        many = [await Peer.connect(server.address) for _ in range(100)]
        for peer in many[-10:]:
            assert await peer.gone() == b""
        assert len(server.connections) <= 3 + 32
        await echoes(good)
        for peer in many:
            peer.close()
        await until_served(server.address)


async def test_a_full_server_still_answers_plain_http() -> None:
    """A health check, for one."""
    async with (
        running(hello, Limits(max_connections=1)) as server,
        connected(server.address),
        tcp(server.address) as peer,
    ):
        await peer.send(request())
        assert (await peer.head()).status == 200


async def test_refused_connections_do_not_count_for_long() -> None:
    """Whoever is refused, and keeps TCP open, does not keep the next one out."""
    limits = Limits(max_connections=20, close_timeout=0.1)
    async with running(hello, limits) as server:
        peers = [await Peer.connect(server.address) for _ in range(40)]
        for peer in peers:
            await peer.send(upgrade(line=b"POST /ws HTTP/1.1"))
        await server.emptied()
        async with connected(server.address) as good:
            await echoes(good)
        for peer in peers:
            peer.close()


@ONE_LOOP
async def test_without_file_descriptors(serve: Callable[..., Server]) -> None:
    """T26: those who are there go on, those who come wait, the log stays readable.

    Not so on asyncio: that accepts all who wait before anyone hears of the first of them, and
    logs each failure, up to CPython 3.13 2048 times.
    """
    server = serve("tests.server.apps:app")
    address = (server.host, server.port)
    async with connected(address) as old:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        limit = open_files(server) + 10
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, hard))
        many = [await Peer.connect(address) for _ in range(100)]
        await until(lambda: open_files(server) == limit)
        for _ in range(20):
            await echoes(old)
        for peer in many:
            peer.close()
        await until_served(address)
        await echoes(old)
    assert server.output.count("\n") < 50, server.output


@ONE_LOOP
async def test_a_limit_of_connections_keeps_file_descriptors(serve: Callable[..., Server]) -> None:
    """T26: whoever comes is told so, and of those who only hold on there are not too many."""
    server = serve("tests.server.apps:app", "--max-connections", "10")
    address = (server.host, server.port)
    before = open_files(server)
    async with AsyncExitStack() as stack:
        good = [await stack.enter_async_context(connected(address)) for _ in range(9)]
        async with connected(address) as tenth:
            for _ in range(5):
                async with tcp(address) as peer:
                    await peer.send(upgrade())
                    assert (await peer.refused())[0] == 503
            many = [await Peer.connect(address) for _ in range(100)]
            # Its turn comes after that of all who came before it.
            async with tcp(address) as peer:
                assert await peer.gone() == b""
            assert open_files(server) == before + 10 + 32
            for peer in [*good, tenth]:
                await echoes(peer)
        for peer in many:
            peer.close()
        await until_served(address)
        for peer in good:
            await echoes(peer)
    assert server.output.count("\n") < 50, server.output


@ONE_LOOP
@pytest.mark.skipif(ASAN, reason="ASAN takes all the addresses that there are")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.deep
async def test_without_memory(loop: str, serve: Callable[..., Server]) -> None:
    """A message for which there is none ends its connection, and no other."""
    env = {"FASTWS_MAX_MESSAGE_SIZE": f"{256 * MIB}"}
    server = serve("tests.server.apps:app", "--loop", loop, env=env)
    address = (server.host, server.port)
    whole = frame(BINARY, bytes(64 * MIB))
    parts = frame(BINARY, b"", fin=False) + frame(CONTINUATION, bytes(MIB), fin=False) * 64
    stream = zlib.compressobj(wbits=-15)
    payload = stream.compress(bytes(64 * MIB)) + stream.flush(zlib.Z_SYNC_FLUSH)
    bomb = frame(BINARY, payload[:-4], rsv=4)
    deflate = [(b"sec-websocket-extensions", b"permessage-deflate")]
    async with connected(address, "/ws", deflate) as good:
        await echoes(good)
        size = server.memory("VmSize") + 24 * MIB
        resource.prlimit(server.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
        for count, message in enumerate((whole, parts, bomb), 1):
            async with connected(address, "/ws", deflate) as peer:
                with suppress(ConnectionError):
                    await peer.send(message)
                assert await peer.gone() == b""
            await echoes(good)
            await asyncio.to_thread(server.wait_for, rf"(MemoryError[^\0]*?){{{count}}}")


@ONE_LOOP
async def test_without_room_for_its_log(spawn: Callable[..., Process], free_port: int) -> None:
    command = f"{sys.executable} -m fastws run tests.server.apps:app --port {free_port}"
    spawn("sh", "-c", f"exec {command} >/dev/full 2>&1")
    address = ("127.0.0.1", free_port)
    await until_served(address)
    async with connected(address) as peer:
        await peer.send(frame(7))
        assert (await peer.ended())[0] == 1002
    async with tcp(address) as peer:
        await peer.send(upgrade(line=b"POST /ws HTTP/1.1"))
        assert (await peer.refused())[0] == 405
    await until_served(address)


async def test_an_app_that_blocks_nobody() -> None:
    """One that never answers the handshake holds one connection, and no more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/never":
            await asyncio.Event().wait()
        await hello(scope, receive, send)

    async with running(app) as server, tcp(server.address) as peer:
        await peer.send(upgrade("/never"))
        async with connected(server.address) as good:
            await echoes(good)
