"""How a connection ends, in whatever way its handler does, on our server and on plain uvicorn."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from fastws.app.app import App
from fastws.app.websocket import WebSocket
from fastws.errors import Disconnected, HandshakeError, ProtocolError
from tests.app.conftest import Run, connect
from tests.app.test_app import ended, handled, refused
from tests.rooms.serving import turns
from tests.server.peer import Peer, close, connected, text, upgrade
from tests.server.serving import until

Socket = WebSocket[Any]
Handler = Callable[[Socket], Awaitable[None]]


def serving(handler: Handler, **options: Any) -> App:
    """Gives an app of one handler, at ``/ws``."""
    app = App()
    app.websocket("/ws", **options)(handler)
    return app


def failures(caplog: pytest.LogCaptureFixture) -> list[type[BaseException]]:
    """Gives the types of all exceptions in the log."""
    return [r.exc_info[0] for r in caplog.records if r.exc_info and r.exc_info[0]]


# Codes.


async def test_the_first_close_counts(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.close_soon(4000, "kicked")
        ws.close_soon(4001, "too late")
        await ws.close(4002)

    async with run(serving(act)) as server:
        assert await ended(server) == (4000, "kicked")


async def test_whoever_closes_the_handler_hears_of_it_and_can_send_no_more(run: Run) -> None:
    outcome: list[Any] = []

    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.close_soon(4000, "kicked")
        with pytest.raises(Disconnected) as caught:
            await ws.send("x")
        outcome.append((caught.value.code, caught.value.reason))
        outcome.append([message async for message in ws])

    async with run(serving(act)) as server:
        assert await ended(server) == (4000, "kicked")
        await until(lambda: len(outcome) == 2)
    assert outcome == [(4000, "kicked"), []]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1])
async def test_a_code_that_is_none_is_a_bug(
    code: int, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        with pytest.raises(ValueError, match="no code to close with"):
            await ws.close(code)
        with pytest.raises(ValueError, match="no code to close with"):
            ws.close_soon(code)
        raise ProtocolError(code, "x")

    async with run(serving(act)) as server:
        assert await ended(server) == (1011, "internal error")
    assert failures(caplog) == [ValueError]


@pytest.mark.parametrize(
    "reason", ["x" * 124, "é" * 62, "a" + "é" * 62, "\ud800" * 200], ids=range(4)
)
async def test_a_long_reason_is_cut(reason: str, run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        raise ProtocolError(4000, reason)

    async with run(serving(act)) as server:
        code, found = await ended(server)
    whole = reason.replace("\ud800", "?")
    assert code == 4000
    assert whole.startswith(found)
    assert 122 <= len(found.encode()) <= 123


# Refusals.


@pytest.mark.parametrize(
    "error",
    [
        HandshakeError(403, "no", ((b"x-a", b"1\r\nset-cookie: a=b"),)),
        HandshakeError(403, "no", ((b"x-a\r\nset-cookie", b"a=b"),)),
        HandshakeError(403, "no", ((b"x-a", b"\0"),)),
        HandshakeError(403, "no", fields={"what": object()}),
        HandshakeError(403, "no", fields={"status": 1, "reason": 2}),
        HandshakeError(403, "\ud800"),
        HandshakeError(99, "no"),
        HandshakeError(1008, "no"),
    ],
)
async def test_a_refusal_that_cannot_be_sent_is_a_bug(
    error: HandshakeError, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(ws: Socket) -> None:
        raise error

    async with run(serving(act)) as server:
        assert await refused(server) == (500, {"status": 500, "detail": "internal error"})
    assert len(failures(caplog)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [(b"x-a", b"1\r\nset-cookie: a=b")]},
        {"headers": [(b"x\n", b"1")]},
        {"subprotocol": "json\r\nset-cookie: a=b"},
        {"subprotocol": "not offered"},
    ],
)
async def test_an_accept_that_cannot_be_sent_is_a_bug(
    options: Any, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept(**options)

    async with run(serving(act)) as server:
        assert (await refused(server))[0] == 500
    assert failures(caplog) == [ValueError]


async def test_two_tasks_that_answer_are_a_bug_in_one_of_them(run: Run) -> None:
    outcome: list[Any] = []

    async def act(ws: Socket) -> None:
        outcome.extend(
            await asyncio.gather(ws.accept(), ws.accept(), ws.deny(403, ""), return_exceptions=True)
        )
        await ws.send(await ws.receive())

    async with run(serving(act)) as server, connect(server) as ws:
        await ws.send("x")
        assert await ws.recv(timeout=5) == "x"
    assert [type(each) for each in outcome] == [type(None), RuntimeError, RuntimeError]


# Several tasks.


async def test_the_end_in_each_of_several_tasks_is_no_bug(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def receive(ws: Socket) -> None:
        while True:
            await ws.receive()

    async def act(ws: Socket) -> None:
        await ws.accept()
        await ws.send("ready")
        async with asyncio.TaskGroup() as outer:
            outer.create_task(receive(ws))
            outer.create_task(receive(ws))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(receive(ws))
                inner.create_task(receive(ws))

    async with run(serving(act)) as server:
        for leave in (Peer.reset, Peer.close, None):
            async with connected(server.address) as peer:
                await peer.frame()
                if leave is None:
                    await peer.send(close(1000))
                    await peer.gone()
                else:
                    leave(peer)
            await server.emptied()
    assert handled(caplog) == []


async def test_what_one_of_several_tasks_raises_is_the_end(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(ws: Socket) -> None:
        await ws.receive()
        raise ProtocolError(4123, "enough")

    async def act(ws: Socket) -> None:
        await ws.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse(ws))
            group.create_task(asyncio.sleep(60))

    async with run(serving(act)) as server, connect(server) as ws:
        await ws.send("x")
        with pytest.raises(Disconnected) as caught:
            await ws.recv(timeout=5)
    assert (caught.value.code, caught.value.reason) == (4123, "enough")
    assert handled(caplog) == []


async def test_bugs_of_several_tasks_are_logged_once(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def act(ws: Socket) -> None:
        await ws.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(fail())

    async with run(serving(act)) as server:
        assert await ended(server) == (1011, "internal error")
    assert failures(caplog) == [ExceptionGroup]


async def test_closing_ends_a_receive_in_another_task(run: Run) -> None:
    outcome: list[Any] = []

    async def receive(ws: Socket) -> None:
        try:
            await ws.receive()
        except BaseException as error:
            outcome.append(error)

    async def act(ws: Socket) -> None:
        await ws.accept()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(receive(ws)) for _ in range(3)]
            await ws.send("ready")
            await ws.close(4000, "off")
        assert not any(task.cancelling() for task in tasks)

    async with run(serving(act)) as server, connect(server) as ws:
        assert await ws.recv(timeout=5) == "ready"
        with pytest.raises(Disconnected):
            await ws.recv(timeout=5)
    assert [type(error) for error in outcome] == [Disconnected] * 3
    assert [error.code for error in outcome] == [4000] * 3


async def test_who_waits_to_send_when_it_is_closed_is_disconnected(run: Run) -> None:
    outcome: list[Any] = []
    sent, closed = [0], asyncio.Event()

    async def flood(ws: Socket) -> None:
        try:
            while True:
                await ws.send("x" * 100_000)
                sent[0] += 1
        except Exception as error:
            outcome.append(error)

    async def act(ws: Socket) -> None:
        await ws.accept()
        tasks = [asyncio.create_task(flood(ws)) for _ in range(2)]
        before = -1
        while sent[0] > before:
            before = sent[0]
            await turns(50)
        assert not outcome
        ws.close_soon(4000, "enough")
        closed.set()
        await asyncio.wait(tasks)

    async with (
        run(serving(act)) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        await closed.wait()
        peer.reset()
        await server.emptied()
    assert len(outcome) == 2
    assert all(isinstance(error, Disconnected) for error in outcome)


async def test_a_task_that_outlives_its_handler_is_disconnected(run: Run) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def use(ws: Socket, go: asyncio.Event, what: str) -> None:
        await go.wait()
        match what:
            case "send":
                await ws.send("x")
            case "json":
                await ws.send_json([])
            case "receive":
                await ws.receive()
            case "join":
                ws.join("a")
            case "ping":
                await ws.ping()
            case "close":
                await ws.close()
                ws.close_soon()
                ws.leave("a")
                await ws.publish("a", "x")
                ws.expire_at(0)
                assert [message async for message in ws] == []
                raise Disconnected()

    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.join("a")
        for what in ("send", "json", "receive", "join", "ping", "close"):
            tasks.append(asyncio.create_task(use(ws, go, what)))

    go = asyncio.Event()
    async with run(app := serving(act)) as server:
        assert await ended(server) == (1000, "")
        await server.emptied()
        go.set()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, Disconnected | NotImplementedError), error
    assert app.rooms.population == 0


# Cancellation.


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_handler_that_is_cancelled(
    accepted: bool, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(ws: Socket) -> None:
        if accepted:
            await ws.accept()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    async with run(app := serving(act)) as server:
        if accepted:
            assert await ended(server) == (1001, "")
        else:
            body = {"status": 503, "detail": "going away"}
            assert await refused(server) == (503, body)
        await server.emptied()
    assert handled(caplog) == []
    assert not app.rooms.names()


async def test_a_handler_that_swallows_its_cancellation(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.join("a")
        while True:
            try:
                await ws.receive()
            except asyncio.CancelledError:
                await ws.send("cancelled")
            except Disconnected:
                return

    async with run(app := serving(act)) as server, connect(server) as ws:
        await until(app.rooms.names)
        for _ in range(3):
            (task,) = server.tasks
            task.cancel()
            assert await ws.recv(timeout=5) == "cancelled"
        await ws.close()
        await server.emptied()
    assert not app.rooms.names()


async def test_waiting_with_a_timeout_loses_nothing(run: Run) -> None:
    taken: list[Any] = []

    async def act(ws: Socket) -> None:
        await ws.accept()
        while len(taken) < 300:
            for wait in (asyncio.wait_for, _within):
                with suppress(TimeoutError):
                    taken.append(await wait(ws.receive(), 0.0005))

    async with run(serving(act)) as server, connected(server.address) as peer:
        for i in range(300):
            await peer.send(text(str(i)))
            if i % 7 == 0:
                await asyncio.sleep(0.001)
        await until(lambda: len(taken) == 300)
    assert taken == [str(i) for i in range(300)]


async def _within(awaitable: Any, seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


# What goes on after the end.


@pytest.mark.parametrize("what", ["receive", "iterate", "send", "closed", "events"])
async def test_a_loop_that_goes_on_after_the_end_holds_up_nobody(what: str, run: Run) -> None:
    stop = asyncio.Event()

    async def step(ws: Socket) -> None:
        match what:
            case "receive" | "closed":
                await ws.receive()
            case "iterate":
                async for _ in ws:
                    pass
            case "send":
                # Large, since uvicorn's send does not wait before the kernel has taken some MB.
                await ws.send("x" * 10_000)
            case "events":
                async for _ in ws.events():
                    pass

    async def act(ws: Socket) -> None:
        await ws.accept()
        if what == "closed":
            await ws.close()
        while not stop.is_set():
            try:
                await step(ws)
            except Exception:
                logging.getLogger("careless").debug("what may that be?")

    app = serving(act)

    @app.websocket("/good")
    async def good(ws: Socket) -> None:
        await ws.accept()
        await ws.send(await ws.receive())
        stop.set()

    async with run(app) as server:
        async with connected(server.address) as peer:
            await until(lambda: server.tasks)
            peer.reset()
        await until(lambda: not server.connections)
        async with connect(server, "/good") as ws:
            await ws.send("x")
            assert await ws.recv(timeout=5) == "x"
        await server.emptied()


async def test_sending_to_who_has_vanished_is_no_success(run: Run) -> None:
    outcome: list[Any] = []

    async def act(ws: Socket) -> None:
        await ws.accept()
        async for _ in ws:
            pass
        for message in ("x", b"x"):
            with pytest.raises(Disconnected) as caught:
                await ws.send(message)
            outcome.append((caught.value.code, caught.value.clean))

    async with run(serving(act)) as server:
        async with connected(server.address) as peer:
            peer.reset()
        await until(lambda: len(outcome) == 2)
    assert outcome == [(1006, False)] * 2


async def test_a_client_that_vanishes_while_it_is_refused(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def act(ws: Socket) -> None:
        arrived.set()
        await go.wait()
        raise HandshakeError(403, "no")

    async with run(serving(act)) as server:
        peer = await Peer.connect(server.address)
        await peer.send(upgrade())
        await arrived.wait()
        peer.reset()
        await until(lambda: not server.connections)
        go.set()
        await server.emptied()
    assert handled(caplog) == []
    assert failures(caplog) == []
