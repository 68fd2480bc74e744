"""Flow control in both directions: nothing is lost, nothing piles up, everybody goes on."""

import asyncio
import random
from typing import Any

import pytest

from fastws.errors import ClientDisconnected
from fastws.limits import KIB, MIB, Limits
from fastws.wire.connection import State
from tests.server.peer import BINARY, PING, PONG, TEXT, Frame, close, connected, frame, text
from tests.server.serving import (
    ACCEPT,
    Receive,
    Running,
    Script,
    Send,
    echo,
    limit_kernel,
    running,
    until,
)

SMALL = 4096  # a receive buffer of the peer's


def protocol(server: Running) -> Any:
    """Gives the server's side of the only connection."""
    (found,) = server.connections
    return found


def number(i: int, size: int) -> bytes:
    """Gives a message that tells which it is, and whether it is whole."""
    return i.to_bytes(4, "big") + bytes([i & 0xFF]) * (size - 4)


# Towards the peer.


@pytest.mark.parametrize("size", [16, 4 * KIB, 40 * KIB, 300 * KIB])
async def test_send_waits_while_the_peer_does_not_read(size: int) -> None:
    """Without pause_writing, or without a look at it, all of this would be in memory."""
    count = MIB // size if size < MIB // 8 else 8
    peak = 0
    sent = 0

    async def act(receive: Receive, send: Send) -> None:
        nonlocal peak, sent
        await receive()
        await send(ACCEPT)
        limit_kernel(server)
        connection = protocol(server)
        for sent in range(count):
            await send({"type": "websocket.send", "bytes": number(sent, size)})
            peak = max(peak, connection.write_buffer_size)

    script = Script(act)
    async with (
        running(script) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        await until(lambda: stuck(server))
        for _ in range(20):
            await asyncio.sleep(0)
        assert sent < count - 1
        for i in range(count):
            assert await peer.frame() == Frame(BINARY, number(i, size))
        await script.outcome
        # What may wait, one message above it, and what one turn of the loop collects.
        assert peak <= 64 * KIB + size + 80 * KIB


def stuck(server: Running) -> bool:
    """Tells whether the app waits for the peer to read."""
    return bool(protocol(server).write_buffer_size > 64 * KIB)


async def test_a_sender_goes_on_before_all_is_sent() -> None:
    """One that fills what becomes free must not keep out one that has waited longer."""
    done: list[str] = []

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)

        async def produce(name: str, count: int) -> None:
            for _ in range(count):
                await send({"type": "websocket.send", "bytes": b"x" * 30 * KIB})
            done.append(name)

        await asyncio.gather(produce("much", 1000), *(produce(f"{i}", 1) for i in range(5)))

    script = Script(act)
    async with (
        running(script) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        for _ in range(1005):
            await peer.frame()
        await script.outcome
        assert done[-1] == "much"


async def test_many_senders_do_not_mix_their_messages() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)

        async def produce(i: int) -> None:
            for _ in range(20):
                await send({"type": "websocket.send", "bytes": number(i, 10 * KIB)})

        await asyncio.gather(*map(produce, range(50)))

    script = Script(act)
    async with (
        running(script) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        seen = dict.fromkeys(range(50), 0)
        for _ in range(1000):
            found = await peer.frame()
            i = int.from_bytes(found.payload[:4], "big")
            assert found == Frame(BINARY, number(i, 10 * KIB))
            seen[i] += 1
        assert set(seen.values()) == {20}
        await script.outcome


async def fill(send: Send, server: Running) -> int:
    """Sends until the next message would have to wait; gives how many that took."""
    count = 0
    while not stuck(server):
        await send({"type": "websocket.send", "bytes": number(count, 32 * KIB)})
        count += 1
    return count


async def test_a_send_that_is_cancelled_is_not_sent() -> None:
    async def act(receive: Receive, send: Send) -> int:
        await receive()
        await send(ACCEPT)
        count = await fill(send, server)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send({"type": "websocket.send", "text": "given up"}), 0.01)
        waiting.set()
        await send({"type": "websocket.send", "text": "not given up"})
        return count

    waiting = asyncio.Event()
    script = Script(act)
    async with (
        running(script) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        await waiting.wait()
        i = 0
        while (found := await peer.frame()).opcode == BINARY:
            assert found.payload == number(i, 32 * KIB)
            i += 1
        assert found == Frame(TEXT, b"not given up")
        assert await script.outcome == i


@pytest.mark.parametrize("how", ["reset", "close", "abort"])
async def test_waiting_senders_learn_that_the_peer_has_gone(how: str) -> None:
    async def act(receive: Receive, send: Send) -> list[Any]:
        await receive()
        await send(ACCEPT)
        await fill(send, server)
        sending = [send({"type": "websocket.send", "text": "x"}) for _ in range(3)]
        waiting.set()
        return await asyncio.gather(*sending, return_exceptions=True)

    waiting = asyncio.Event()
    script = Script(act)
    limits = Limits(close_timeout=0.05)
    async with (
        running(script, limits) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        await waiting.wait()
        if how == "reset":
            peer.reset()
        elif how == "close":
            await peer.send(close(1001))
        else:
            protocol(server).abort()
        outcomes = await script.outcome
        assert [type(outcome) for outcome in outcomes] == [ClientDisconnected] * 3
        await server.emptied()


async def test_a_peer_that_reads_again_gets_the_rest_and_the_close() -> None:
    async def act(receive: Receive, send: Send) -> int:
        await receive()
        await send(ACCEPT)
        count = await fill(send, server)
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        return count

    script = Script(act)
    async with (
        running(script) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        count = await script.outcome
        for i in range(count):
            assert await peer.frame() == Frame(BINARY, number(i, 32 * KIB))
        assert await peer.closed() == (4000, "enough")
        await peer.send(close(4000))
        assert await peer.rest() == b""


@pytest.mark.parametrize("ending", [close(1001), frame(TEXT, b"x", mask=None)])
async def test_a_peer_that_ends_it_and_then_reads_the_rest(ending: bytes) -> None:
    """TCP is closed once all is sent; asyncio does not like that to be done in resume_writing."""

    async def act(receive: Receive, send: Send) -> int:
        await receive()
        await send(ACCEPT)
        count = await fill(send, server)
        assert (await receive())["type"] == "websocket.disconnect"
        return count

    script = Script(act)
    async with (
        running(script) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        await until(lambda: stuck(server))
        await peer.send(ending)
        count = await script.outcome
        for i in range(count):
            assert await peer.frame() == Frame(BINARY, number(i, 32 * KIB))
        assert (await peer.closed())[0] in (1001, 1002)
        assert await peer.rest() == b""
        peer.close()
        await server.emptied()


# From the peer.


@pytest.mark.parametrize("limits", [Limits(), Limits(max_queue_messages=1, max_queue_size=1)])
async def test_a_flood_of_empty_messages_waits_in_the_kernel(limits: Limits) -> None:
    """T25: 43,000 of them are a quarter of a megabyte on the wire, and as many events."""
    count = 43_000
    awake = asyncio.Event()

    async def act(receive: Receive, send: Send) -> int:
        await receive()
        await send(ACCEPT)
        await awake.wait()
        received = 0
        while (event := await receive())["type"] == "websocket.receive":
            assert event["text"] == ""
            received += 1
        return received

    script = Script(act)
    async with running(script, limits) as server, connected(server.address) as peer:
        sending = asyncio.create_task(peer.send(text("") * count, close(1000)))
        await until(lambda: not protocol(server).transport.is_reading())
        # Not because it has read the close at the end.
        assert protocol(server).connection.state is State.OPEN
        awake.set()
        assert await script.outcome == count
        await sending


async def test_reading_stops_by_bytes_too() -> None:
    """The rest of 64 MB is the kernel's, as far as that takes it."""
    message = frame(BINARY, b"x" * 64 * KIB)
    awake = asyncio.Event()

    async def act(receive: Receive, send: Send) -> int:
        await receive()
        await send(ACCEPT)
        await awake.wait()
        size = 0
        while (event := await receive())["type"] == "websocket.receive":
            size += len(event["bytes"])
        return size

    script = Script(act)
    limits = Limits(max_queue_messages=1000, max_queue_size=256 * KIB)
    async with running(script, limits) as server, connected(server.address) as peer:
        sending = asyncio.create_task(peer.send(message * 1024, close(1000)))
        await until(lambda: not protocol(server).transport.is_reading())
        assert not sending.done()
        awake.set()
        assert await script.outcome == 64 * MIB
        await sending


async def test_a_close_behind_a_full_queue_is_found() -> None:
    async def act(receive: Receive, send: Send) -> list[str]:
        await receive()
        await send(ACCEPT)
        await full.wait()
        kinds: list[str] = []
        while not kinds or kinds[-1] == "websocket.receive":
            kinds.append((await receive())["type"])
        return kinds

    full = asyncio.Event()
    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        await peer.send(text("x") * 100)
        await until(lambda: not protocol(server).transport.is_reading())
        await peer.send(close(1000))
        full.set()
        kinds = await script.outcome
        assert kinds == ["websocket.receive"] * 100 + ["websocket.disconnect"]


@pytest.mark.parametrize("size", [0, 4, 125])
async def test_only_the_newest_ping_of_a_peer_that_does_not_read_is_answered(size: int) -> None:
    """T10: what is read while nothing can be sent piles up no answers."""
    numbers = [number(i, size)[:size] for i in range(400)]
    pings = b"".join(frame(PING, payload) for payload in numbers)
    async with (
        running(echo, Limits(max_ping_rate=None)) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        limit_kernel(server)
        rounds = peak = 0
        while not protocol(server).write_buffer_size:
            await peer.send(pings)
            rounds += 1
        for _ in range(200):
            await peer.send(pings)
            peak = max(peak, protocol(server).write_buffer_size)
        assert peak <= 64 * KIB + 400 * (2 + size)
        await peer.send(frame(PING, b"newest"), text("after"))
        # The pong may come late, but it comes.
        ends = frame(PONG, b"newest", mask=None), frame(TEXT, b"after", mask=None)
        while not all(end in peer.buffer[-15:] for end in ends):
            assert await peer.fill()
        answers = bytes(peer.buffer[:-15])
        assert len(answers) < (rounds + 100) * 400 * (2 + size)
        pongs = {frame(PONG, payload, mask=None) for payload in numbers}
        assert {answers[i : i + 2 + size] for i in range(0, len(answers), 2 + size)} <= pongs


# Both.


async def test_messages_of_all_sizes_both_ways() -> None:
    """The peer writes as fast as it can, and reads in small pieces, late."""
    sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, MIB - 1, MIB]
    draw = random.Random(1)
    sizes += [int(2 ** draw.uniform(0, 20)) for _ in range(50)]
    draw.shuffle(sizes)
    messages = [draw.randbytes(size) for size in sizes]
    async with (
        running(echo) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        sending = asyncio.create_task(peer.send(*(frame(BINARY, message) for message in messages)))
        await until(lambda: protocol(server).write_buffer_size)
        for message in messages:
            found = await peer.frame()
            assert (found.opcode, len(found.payload)) == (BINARY, len(message))
            assert found.payload == message
        await sending


async def test_a_stuck_peer_is_no_concern_of_others() -> None:
    async with (
        running(echo) as server,
        connected(server.address, receive_buffer=SMALL) as stuck_peer,
    ):
        quiet = 0
        block = frame(BINARY, b"x" * 64 * KIB)
        while quiet < 50:
            quiet = quiet + 1 if stuck_peer.send_some(block) < len(block) else 0
            await asyncio.sleep(0)
        async with connected(server.address) as peer:
            for i in range(100):
                await peer.send(text(f"{i}"))
                assert await peer.frame() == Frame(TEXT, b"%d" % i)
