"""The ASGI extension, as docs/extension.md describes it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import fastws
from fastws.aio.fanout import publish
from fastws.errors import ClientDisconnected, Disconnected
from fastws.limits import Limits
from fastws.wire import PreparedMessage
from tests.server.peer import BINARY, PING, PONG, TEXT, connected, frame, tcp
from tests.server.serving import Receive, Running, Scope, Send, running, until

Act = Callable[[Any, Receive, Send], Awaitable[None]]


def app(act: Act, **options: Any) -> Any:
    """Makes an app that accepts with options of the extension, then acts."""

    async def made(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "fastws": options})
        await act(scope["extensions"]["fastws"]["connection"], receive, send)

    return made


def connect(server: Running, **options: Any) -> Any:
    return fastws.connect("ws://{}:{}/".format(*server.address), **options)


async def test_many_messages_in_one_go() -> None:
    taken: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        while len(taken) < 2:
            taken.extend(await connection.receive_many())
        with pytest.raises(ClientDisconnected) as ended:
            await connection.receive_many()
        taken.append(ended.value.code)

    async with running(app(act)) as server:
        async with connect(server) as ws:
            await ws.send("é")
            await ws.send(b"\x00")
        await server.emptied()
    assert taken == [(1, "é"), (2, b"\x00"), 1000]


async def test_messages_may_become_anything() -> None:
    """A tuple is not taken apart, an exception is not raised; be it awaited or stepped by hand."""
    forms = [(1, 2), (), ((3,),), ValueError("x"), StopIteration(4), KeyError, None, "text"]
    taken: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        messages = connection.messages(lambda opcode, payload: forms[int(payload)])
        for _ in forms:
            taken.append(await anext(messages))
            with pytest.raises(StopIteration) as stepped:
                next(anext(messages))
            taken.append(stepped.value.value)
        await send({"type": "websocket.close"})

    async with running(app(act)) as server, connect(server) as ws:
        for i in range(len(forms)):
            await ws.send(f"{i}")
            await ws.send(f"{i}")
        assert [message async for message in ws] == []
    assert taken == [form for form in forms for _ in range(2)]


async def test_raw_text_is_bytes_and_still_checked() -> None:
    taken: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        taken.extend(await connection.receive_many())
        await receive()

    async with running(app(act, raw=True)) as server:
        async with connect(server) as ws:
            await ws.send("é")
        async with tcp(server.address) as peer:
            await peer.open()
            await peer.send(frame(TEXT, b"\xff"))
            assert (await peer.closed())[0] == 1007
        await server.emptied()
    assert taken == [(1, "é".encode())]


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("message", ["é" * 500, b"\x00" * 500, "short", b""])
async def test_a_prepared_message_reaches_all(message: str | bytes, compression: bool) -> None:
    members: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        members.append(connection)
        if len(members) == 3:
            prepared = PreparedMessage(message)
            assert [member.send_prepared(prepared) for member in members] == [True] * 3
        await receive()
        assert not connection.send_prepared(PreparedMessage(message))

    async with running(app(act)) as server:
        async with (
            connect(server, compression=compression) as one,
            connect(server, compression=compression) as two,
            connect(server, compression=False) as three,
        ):
            assert [await ws.recv(timeout=5) for ws in (one, two, three)] == [message] * 3
        await server.emptied()


async def test_what_is_published_reaches_all_but_one() -> None:
    members: dict[Any, str] = {}

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        if not members:
            members[connection] = "one"
        elif len(members) == 1:
            members[connection] = "two"
            for i in range(3):
                message = PreparedMessage(f"{i}")
                assert publish(members, message, connection) == []
            assert publish(members, PreparedMessage(b"all")) == []
        await receive()
        assert publish({connection: "gone"}, PreparedMessage("too late")) == []

    async with running(app(act)) as server:
        async with connect(server) as one, connect(server) as two:
            assert [await one.recv(timeout=5) for _ in range(4)] == ["0", "1", "2", b"all"]
            assert await two.recv(timeout=5) == b"all"
        await server.emptied()


@pytest.mark.parametrize(
    ("members", "message"), [([], PreparedMessage("")), ({}, "x"), ({1: 2}, PreparedMessage(""))]
)
def test_publish_takes_connections_and_a_prepared_message(members: Any, message: Any) -> None:
    with pytest.raises(TypeError):
        publish(members, message)


async def test_who_is_behind_is_told_when_it_can_go_on() -> None:
    told: list[str] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        members = {connection: "me"}
        message = PreparedMessage("x" * 10_000)
        while not publish(members, message):
            pass
        assert connection.blocked
        connection.on_writable = lambda: told.append(f"blocked: {connection.blocked}")
        # Still behind, since something is to be sent first.
        assert publish(members, message) == ["me"]
        blocked.set()
        await receive()
        assert connection.on_writable is None
        assert publish(members, message) == []
        await receive()
        connection.on_writable = lambda: told.append("over")
        connection.abort()
        await receive()

    blocked = asyncio.Event()
    async with (
        running(app(act)) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        await blocked.wait()
        while not told:
            await peer.frame()
        await peer.send(frame(TEXT, b"x"), frame(TEXT, b"y"))
        await server.emptied()
    assert told == ["blocked: False", "over"]


async def test_a_message_that_is_not_to_be_compressed() -> None:
    async def act(connection: Any, receive: Receive, send: Send) -> None:
        for compress in (True, False):
            await send({"type": "websocket.send", "text": "a" * 5000, "compress": compress})
        await receive()

    async with running(app(act)) as server, connect(server) as ws:
        assert [await ws.recv(timeout=5) for _ in range(2)] == ["a" * 5000] * 2


async def test_no_compression_for_this_connection() -> None:
    async def act(connection: Any, receive: Receive, send: Send) -> None:
        await receive()

    async with running(app(act, compression=False)) as server, connect(server) as ws:
        assert ws.compression is None


async def test_limits_of_this_connection() -> None:
    async def act(connection: Any, receive: Receive, send: Send) -> None:
        await receive()

    limits = Limits(max_message_size=10)
    async with running(app(act, limits=limits)) as server, connect(server) as ws:
        await ws.send("a" * 11)
        with pytest.raises(Disconnected) as ended:
            await ws.recv(timeout=5)
        assert ended.value.code == 1009


async def test_pings_are_received_by_who_asks() -> None:
    taken: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        taken.append(await receive())
        await receive()

    async with running(app(act, observe_control=True)) as server, connect(server) as ws:
        assert await ws.ping() > 0
        await ws.close()
        await server.emptied()
    assert taken[0]["type"] == "fastws.ping"


async def test_a_ping_tells_the_round_trip() -> None:
    async def act(connection: Any, receive: Receive, send: Send) -> None:
        assert connection.rtt == 0
        elapsed = await connection.ping()
        assert 0 < elapsed == connection.rtt
        await send({"type": "websocket.send", "text": "done"})
        await receive()

    async with running(app(act)) as server, connect(server) as ws:
        assert await ws.recv(timeout=5) == "done"


async def test_abort_ends_tcp_without_a_close_frame() -> None:
    async def act(connection: Any, receive: Receive, send: Send) -> None:
        assert connection.write_buffer_size == 0
        connection.abort()
        assert (await receive())["code"] == 1006
        assert connection.closing() == (1006, "", False)

    async with running(app(act)) as server:
        async with connect(server) as ws:
            with pytest.raises(Disconnected) as ended:
                await ws.recv(timeout=5)
            assert (ended.value.code, ended.value.clean) == (1006, False)
        await server.emptied()


async def test_direct_sends_are_messages_in_order() -> None:
    async def act(connection: Any, receive: Receive, send: Send) -> None:
        await connection.send_text("é")
        await connection.send_text("ü".encode())
        await connection.send_binary(bytearray(b"\x00"))
        await send({"type": "websocket.send", "text": "event"})
        await connection.send_text("large " * 100_000)
        connection.close(4000, "done")
        connection.close(4001, "again")
        with pytest.raises(ClientDisconnected):
            await connection.send_text("late")
        with pytest.raises(ClientDisconnected):
            await connection.send_binary(b"late")

    async with running(app(act)) as server, connect(server) as ws:
        assert [await ws.recv() for _ in range(5)] == [
            "é",
            "ü",
            b"\x00",
            "event",
            "large " * 100_000,
        ]
        with pytest.raises(Disconnected) as ended:
            await ws.recv()
    assert (ended.value.code, ended.value.reason) == (4000, "done")


async def test_direct_sends_wait_for_a_client_that_does_not_read() -> None:
    sent: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        sent.append(connection)
        for _ in range(100):
            sent.append(await connection.send_text("x" * 100_000))
            sent.append(await connection.send_binary(b"x" * 100_000))

    async with (
        running(app(act, limits=Limits(max_write_buffer=1000))) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        await until(lambda: sent and sent[0].write_buffer_size > 1000)
        assert len(sent) < 200
        frames = [await peer.frame() for _ in range(200)]
        assert [found.opcode for found in frames] == [TEXT, BINARY] * 100
    assert len(sent) == 201


async def test_control_frames_can_be_asked_for_later() -> None:
    taken: list[Any] = []

    async def act(connection: Any, receive: Receive, send: Send) -> None:
        assert not connection.observe_control
        connection.observe_control = True
        await send({"type": "websocket.send", "text": "ready"})
        taken.append(await receive())

    async with running(app(act)) as server, connected(server.address) as peer:
        assert (await peer.frame()).payload == b"ready"
        await peer.send(frame(PING, b"?"))
        assert (await peer.frame()).opcode == PONG
        assert await peer.closed() == (1000, "")
    assert taken == [{"type": "fastws.ping", "bytes": b"?"}]
