"""Back-pressure in both directions: when sending meets it, and when reading stops and goes on."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import pytest

from fastws.aio.fanout import publish
from fastws.limits import KIB, MIB, Limits
from fastws.wire import PreparedMessage
from tests.aio.playing import acting
from tests.server.peer import BINARY, Frame, connected, frame, text
from tests.server.serving import (
    ACCEPT,
    Receive,
    Running,
    Script,
    Send,
    limit_kernel,
    running,
    until,
)

SMALL = 4096  # a receive buffer of the peer's
BLOCK = b"x" * 8 * KIB


def connection_of(server: Running) -> Any:
    """Return the server's side of the only connection."""
    (found,) = server.connections
    return found


# A producer that never waits.


def send_event(connection: Any, send: Send) -> Any:
    return send({"type": "websocket.send", "bytes": BLOCK})


def send_text(connection: Any, send: Send) -> Any:
    return connection.send_text(BLOCK)


def send_binary(connection: Any, send: Send) -> Any:
    return connection.send_binary(BLOCK)


def send_prepared(connection: Any, send: Send) -> Any:
    return connection.send_prepared(PreparedMessage(BLOCK))


def send_to_a_room(connection: Any, send: Send) -> Any:
    return publish({connection: connection}, PreparedMessage(BLOCK))


WAYS = [send_event, send_text, send_binary, send_prepared, send_to_a_room]


async def produce(way: Callable[[Any, Send], Any], connection: Any, send: Send) -> int:
    """Send at most 4 MiB without a pause, until the connection is blocked; return the bytes."""
    size = 0
    while not connection.blocked and size < 4 * MIB:
        sending = way(connection, send)
        if isawaitable(sending):
            await sending
        size += len(BLOCK)
    return size


@pytest.mark.parametrize("within", ["a read", "a read of another connection", "no read"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_producer_that_never_waits_is_blocked(
    way: Callable[[Any, Send], Any], within: str
) -> None:
    """The kernel takes a part. The rest must not pile up until a read, or a turn, ends."""
    produced: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reader: list[tuple[Any, Send]] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        if not reader:
            limit_kernel(server)
            reader.append((connection, send))
        if within == "no read":
            await asyncio.sleep(0)
        elif within == "a read" or len(server.connections) == 2:
            await receive()
        else:
            await asyncio.Event().wait()
        produced.set_result(await produce(way, *reader[0]))

    async with (
        running(acting(act)) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        if within == "a read of another connection":
            await until(lambda: reader)
            async with connected(server.address) as other:
                await other.send(text("go"))
                size = await produced
        else:
            await peer.send(text("go"))
            size = await produced
        assert size < MIB


@pytest.mark.parametrize("way", [send_event, send_text, send_binary])
async def test_senders_that_wait_go_on_one_by_one(way: Callable[[Any, Send], Any]) -> None:
    """Room for one message lets one sender go: all of them at once would fill memory again."""
    order: list[int] = []
    filled = peak = 0

    async def send_one(number: int, connection: Any, send: Send) -> None:
        nonlocal peak
        await way(connection, send)
        peak = max(peak, connection.write_buffer_size)
        order.append(number)

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        nonlocal filled
        limit_kernel(server)
        while connection.write_buffer_size <= 64 * KIB:
            await way(connection, send)
            filled += 1
        waiting = asyncio.gather(*(send_one(i, connection, send) for i in range(100)))
        full.set()
        await waiting
        await receive()

    full = asyncio.Event()
    async with (
        running(acting(act)) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        await full.wait()
        for _ in range(filled + 100):
            assert (await peer.frame()).payload == BLOCK
    # One that finds no room again waits again, so neighbours may change places.
    assert sorted(order) == list(range(100))
    # The bound, a message above it, and what one turn of the loop collects.
    assert peak <= 64 * KIB + 8 * KIB + 72 * KIB


# Reading.


async def test_reading_stops_while_answers_pile_up() -> None:
    """The inbox is empty, since the app takes every message at once. Its answers are unsent."""
    answered = 0

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        nonlocal answered
        while (await receive())["type"] == "websocket.receive":
            assert connection.send_prepared(PreparedMessage(BLOCK))
            answered += 1

    async with (
        running(acting(act)) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        limit_kernel(server)
        connection = connection_of(server)
        asked = 0
        while connection.transport.is_reading() and asked < 500:
            assert connection.write_buffer_size <= 64 * KIB
            await peer.send(text("more"))
            asked += 1
            await until(lambda asked=asked: answered == asked)  # type: ignore[misc]
        assert connection.connection.inbox.count == 0
        assert 64 * KIB < connection.write_buffer_size <= 64 * KIB + 2 * len(BLOCK)
        await peer.send(text("more") * 3)
        for _ in range(asked + 3):
            assert await peer.frame() == Frame(BINARY, BLOCK)
        assert connection.transport.is_reading()


async def test_reading_does_not_go_on_before_the_answers_are_sent() -> None:
    """Taking a message from the inbox resumes reading only if no answer is unsent."""
    reading: list[bool] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        await receive()
        for _ in range(100):
            if connection.write_buffer_size <= 64 * KIB:
                connection.send_prepared(PreparedMessage(BLOCK))
        await may_take.wait()
        for _ in range(2):
            await receive()
            reading.append(connection.transport.is_reading())
        await receive()
        reading.append(connection.transport.is_reading())

    may_take = asyncio.Event()
    async with (
        running(acting(act)) as server,
        connected(server.address, receive_buffer=SMALL) as peer,
    ):
        limit_kernel(server)
        await peer.send(text("x") * 3)
        await until(lambda: not connection_of(server).transport.is_reading())
        may_take.set()
        await until(lambda: len(reading) == 2)
        await peer.send(text("last"))
        while len(reading) < 3:
            await peer.frame()
    assert reading == [False, False, True]


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(max_queue_messages=8), 2),
        (Limits(max_queue_messages=1000, max_queue_size=8000), 2),
        (Limits(max_queue_messages=9, max_queue_size=8000), 2),
        (Limits(max_queue_messages=4, max_queue_size=16_000), 1),
        (Limits(max_queue_messages=1), 0),
        (Limits(max_queue_size=1), 0),
    ],
)
async def test_reading_goes_on_at_a_quarter(limits: Limits, left: int) -> None:
    """A quarter of the messages, or of the bytes, whichever comes later."""
    found: list[tuple[int, bool]] = []

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await may_take.wait()
        connection = connection_of(server)
        for _ in range(20):
            await receive()
            found.append((connection.connection.inbox.count, connection.transport.is_reading()))

    may_take = asyncio.Event()
    script = Script(act)
    async with running(script, limits) as server, connected(server.address) as peer:
        await peer.send(frame(BINARY, b"x" * 1000) * 20)
        await until(lambda: not connection_of(server).transport.is_reading())
        assert connection_of(server).connection.inbox.count == 20
        may_take.set()
        await script.outcome
    assert found == [(count, count <= left) for count in reversed(range(20))]
