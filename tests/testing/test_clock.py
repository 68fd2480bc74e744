"""The clock: time stands, and moves by what the test says; sockets and threads go on."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import fastws
from fastws.limits import Limits
from fastws.testing import PING, PONG, TEXT, Clock, Peer, connect, serve
from fastws.testing.call import Receive, Send
from tests.testing.apps import accepting, echo, text


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio's own event loop, since the clock needs it."""
    return "asyncio"


@pytest.fixture
async def clock() -> AsyncIterator[Clock]:
    with Clock() as clock:
        yield clock


async def test_time_stands(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    assert now == int(now)  # so that halves and quarters add up exactly
    await asyncio.to_thread(time.sleep, 0.01)
    assert loop.time() == clock.monotonic() == now
    date = clock.time()
    await clock.advance(2.5)
    assert loop.time() == now + 2.5
    assert clock.time() == date + 2.5
    assert abs(clock.time() - time.time()) < 60


async def test_what_falls_due_runs_in_order_each_at_its_time(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    ran: list[tuple[str, float]] = []

    def note(name: str) -> None:
        ran.append((name, loop.time() - start))

    async def sleeper(name: str, seconds: float, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(seconds)
            note(name)

    loop.call_later(3, note, "three")
    loop.call_later(1, lambda: loop.call_later(1, note, "one and one"))
    loop.call_later(2.5, note, "cancelled").cancel()
    loop.call_at(start + 10, note, "ten")
    tasks = [asyncio.create_task(sleeper("each two", 2, 3))]
    tasks.append(asyncio.create_task(sleeper("long", 5, 1)))
    await clock.advance(0)
    assert ran == []
    await clock.advance(9.5)
    assert ran == [
        ("one and one", 2),
        ("each two", 2),
        ("three", 3),
        ("each two", 4),
        ("long", 5),
        ("each two", 6),
    ]
    await clock.advance(0.5)
    assert ran[-1] == ("ten", 10)
    await asyncio.gather(*tasks)


async def test_what_is_due_at_once_is_due_before_time_goes_on(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    ran: list[float] = []

    def chain(left: int) -> None:
        ran.append(loop.time() - start)
        if left:
            loop.call_later(0, chain, left - 1)

    loop.call_later(1, chain, 10)
    await clock.advance(2)
    assert ran == [1] * 11


async def test_small_steps_add_up(clock: Clock) -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(1, done.set)
    for _ in range(9):
        await clock.advance(0.1)
    assert not done.is_set()
    await clock.advance(0.1)
    assert done.is_set()


async def test_timeouts_take_the_clocks_time(clock: Clock) -> None:
    async def wait() -> None:
        async with asyncio.timeout(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await clock.advance(9.999)
    assert not task.done()
    await clock.advance(0.001)
    with pytest.raises(TimeoutError):
        await task


async def test_the_kits_own_waits_take_real_time(clock: Clock) -> None:
    async with connect(echo) as ws:
        await clock.advance(1000)
        with pytest.raises(TimeoutError, match="a message did not come"):
            await ws.recv(timeout=0.01)


async def test_time_goes_on_afterwards_and_not_back() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    for _ in range(2):
        with Clock() as clock:
            await clock.advance(100)
            done = asyncio.Event()
            loop.call_later(0.001, done.set)
        async with asyncio.timeout(50):
            await done.wait()
    assert 200 < loop.time() - before < 300
    assert Clock.standing() is None


async def test_what_a_clock_refuses() -> None:
    clock = Clock()
    with pytest.raises(RuntimeError, match="has not been entered"):
        await clock.advance(1)
    with clock, pytest.raises(ValueError, match="does not go back"):
        await clock.advance(-1)


def test_uvloop_keeps_its_time() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        with Clock():
            pass

    with (
        pytest.raises(RuntimeError, match="needs asyncio's own event loop, and this is uvloop's"),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run())


async def test_more_and_more_that_is_due_at_once(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr("fastws.testing.clock.LONGEST_WAY", 0.05)
    running = True

    def again() -> None:
        if running:
            loop.call_later(0, again)

    loop.call_later(1, again)
    with pytest.raises(TimeoutError, match="no rest on the way to 2 s"):
        await clock.advance(2)
    running = False


# Apps.


async def ticking(receive: Receive, send: Send) -> None:
    for i in range(3):
        await asyncio.sleep(1)
        await send(text(str(i)))
    await send({"type": "websocket.close"})


async def test_an_app_that_waits_for_a_time(clock: Clock) -> None:
    async with connect(accepting(ticking)) as ws:
        await ws.expect_nothing()
        for i in range(3):
            await clock.advance(0.5)
            await ws.expect_nothing()
            await clock.advance(0.5)
            assert await ws.recv() == str(i)
        assert await ws.expect_close() == (1000, "")


async def test_a_thread_sends_while_time_stands(clock: Clock) -> None:
    loop = asyncio.get_running_loop()

    async def act(receive: Receive, send: Send) -> None:
        done = asyncio.Event()
        threading.Timer(0.01, loop.call_soon_threadsafe, (done.set,)).start()
        await done.wait()
        await send(text("done"))
        await receive()

    async with connect(accepting(act)) as ws:
        assert await ws.recv() == "done"


async def relay(*, hops: int) -> None:
    """Sends a byte back and forth through sockets, as callbacks of the loop do: without a task."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = hops

    def pass_on(sock: socket.socket) -> None:
        nonlocal left
        left -= len(sock.recv(1))
        if left:
            sock.send(b"x")
        else:
            done.set_result(None)

    one, two = socket.socketpair()
    with one, two:
        loop.add_reader(one, pass_on, one)
        loop.add_reader(two, pass_on, two)
        one.send(b"x")
        await done
        loop.remove_reader(one)
        loop.remove_reader(two)


async def test_sockets_of_this_process_come_before_the_next_timer(clock: Clock) -> None:
    start, arrived = clock.monotonic(), []

    async def late() -> None:
        await asyncio.sleep(1)
        await relay(hops=20)
        arrived.append(clock.monotonic() - start)

    task = asyncio.create_task(late())
    asyncio.get_running_loop().call_later(1.001, int)
    await clock.advance(2)
    await task
    assert arrived == [1]


async def test_nothing_comes_from_sockets_of_this_process_either(clock: Clock) -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await relay(hops=20)
        await send(text("late"))
        await receive()

    async with connect(accepting(act)) as ws:
        await ws.send("go")
        with pytest.raises(AssertionError, match="expected nothing, got 'late'"):
            await ws.expect_nothing()


# Real sockets. A unix socket has what was sent at once; 127.0.0.1 mostly does.


@pytest.fixture(params=["tcp", "unix"])
def listening(request: pytest.FixtureRequest, socket_path: Any) -> dict[str, Any]:
    return {"uds": str(socket_path)} if request.param == "unix" else {}


HEARTBEAT = Limits(ping_interval=20.0, ping_timeout=10.0)


async def test_the_servers_heartbeat(clock: Clock, listening: dict[str, Any]) -> None:
    async with serve(echo, limits=HEARTBEAT, **listening) as server, server.peer() as peer:
        await clock.advance(19)
        await peer.send_frame(TEXT, b"alive")
        assert (await peer.recv_frame()).payload == b"alive"
        await clock.advance(20.5)
        ping = await peer.recv_frame()
        assert ping.opcode == PING
        await peer.send_frame(PONG, ping.payload)
        await clock.advance(20.5)
        assert (await peer.recv_frame()).opcode == PING
        await clock.advance(9)
        assert len(server.connections) == 1
        await clock.advance(2)
        assert (await peer.recv_frame()).closing() == (1011, "keepalive ping timeout")


async def test_a_client_that_answers_by_itself_stays(
    clock: Clock, listening: dict[str, Any]
) -> None:
    """Between one timer and the next there is time for what goes through sockets."""
    async with (
        serve(echo, limits=HEARTBEAT, **listening) as server,
        fastws.connect(server.url(), uds=listening.get("uds")) as ws,
    ):
        await clock.advance(3600)
        await ws.send("still here")
        assert await ws.recv() == "still here"


async def test_a_server_ends_while_time_stands(clock: Clock) -> None:
    async with serve(accepting(lambda receive, send: asyncio.Event().wait())) as server:
        peer = await Peer.connect(server.address)
        await peer.open()
    assert await peer.recv_rest() == b""
    peer.close()
