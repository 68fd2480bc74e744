"""A real server in the loop of the test, and a peer that does as it is told."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

import fastws
from fastws.errors import ClientDisconnected
from fastws.limits import KIB, Limits
from fastws.testing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    connect,
    lifespan,
    serve,
)
from fastws.testing.call import Event, Receive, Scope, Send
from fastws.testing.frames import close, frame, text
from fastws.testing.peer import upgrade
from tests.testing.apps import accepting, echo


async def test_a_client_of_any_kind(socket_path: Path) -> None:
    choices: list[dict[str, Any]] = [{}, {"uds": str(socket_path)}]
    for options in choices:
        async with serve(echo, **options) as server:
            uds = options.get("uds")
            assert server.address == (uds or ("127.0.0.1", server.address[1]))
            async with fastws.connect(server.url("/ws"), uds=uds) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
            await server.emptied()


async def test_limits_and_options() -> None:
    async with (
        serve(echo, limits=Limits(max_message_size=10), root_path="/root") as server,
        server.peer("/ws") as peer,
    ):
        await peer.send_frame(TEXT, b"x" * 11)
        assert (await peer.recv_frame()).closing()[0] == 1009


async def living(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await accepting(answering(scope["state"]))(scope, receive, send)
        return
    while True:
        event = await receive()
        scope["state"].setdefault("log", []).append(event["type"])
        LOG.append(event["type"])
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


LOG: list[str] = []


def answering(state: dict[str, Any]) -> Any:
    async def act(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": ",".join(state["log"])})
        await receive()

    return act


async def test_the_app_starts_and_stops() -> None:
    LOG.clear()
    async with serve(living) as server, server.peer() as peer:
        assert (await peer.recv_frame()).payload == b"lifespan.startup"
    assert LOG == ["lifespan.startup", "lifespan.shutdown"]
    async with lifespan(living) as app, connect(app) as ws:
        assert await ws.recv() == "lifespan.startup"


async def test_an_app_that_fails_to_start() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(AssertionError, match="the app failed to start"):
        async with serve(app):
            pass


async def test_a_server_ends_whatever_peers_and_apps_do() -> None:
    cancelled: list[bool] = []

    async def act(receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async with serve(accepting(act)) as server:
        waiting = await Peer.connect(server.address)
        peer = await Peer.connect(server.address)
        await peer.open()
        assert len(server.tasks) == 1
    assert cancelled == [True]
    assert not server.connections
    assert await peer.recv_rest() == await waiting.recv_rest() == b""
    peer.close()
    waiting.close()


async def test_a_shutdown_as_by_a_signal() -> None:
    ends: list[Event] = []

    async def act(receive: Receive, send: Send) -> None:
        ends.append(await receive())

    limits = Limits(drain_window=0.01)
    async with serve(accepting(act), limits=limits) as server, server.peer() as peer:
        ending = server.shut_down()
        code, reason = (await peer.recv_frame()).closing()
        assert code == 1012
        await peer.send_bytes(close(1012))
        assert await peer.recv_rest() == b""
        await ending
    assert ends == [{"type": "websocket.disconnect", "code": 1012, "reason": reason}]


# The peer.


async def test_frames_as_they_should_not_be() -> None:
    async with serve(echo) as server:
        for wrong in [
            {"opcode": TEXT, "masked": False},
            {"opcode": TEXT, "rsv": 2},
            {"opcode": 3},
            {"opcode": CONTINUATION},
            {"opcode": PING, "fin": False},
        ]:
            async with server.peer() as peer:
                await peer.send_frame(**wrong)  # type: ignore[arg-type]
                assert (await peer.recv_frame()).closing()[0] == 1002


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
async def test_frames_of_every_size(size: int) -> None:
    async with serve(echo) as server, server.peer() as peer:
        await peer.send_frame(BINARY, b"x" * size, fin=False)
        await peer.send_frame(PING, b"between")
        await peer.send_frame(CONTINUATION, b"y")
        assert await peer.recv_frame() == Frame(PONG, b"between")
        assert await peer.recv_frame() == Frame(BINARY, b"x" * size + b"y")
        await peer.send_frame(CLOSE)
        assert (await peer.recv_frame()).closing() == (1005, "")


async def test_bytes_in_one_piece() -> None:
    async with serve(echo) as server:
        peer = await Peer.connect(server.address)
        await peer.send_bytes(upgrade("/ws"), text("one"), text("two"))
        assert (await peer.recv_head()).status == 101
        assert [(await peer.recv_frame()).payload for _ in range(2)] == [b"one", b"two"]
        peer.close()


async def test_a_handshake_as_it_should_not_be() -> None:
    async with serve(echo) as server:
        peer = await Peer.connect(server.address)
        await peer.send_bytes(upgrade("/", [(b"sec-websocket-version", b"12")]))
        head = await peer.recv_head()
        assert (head.status, head.get(b"sec-websocket-version")) == (426, b"13")
        assert head.get(b"x") is None
        peer.close()
        with pytest.raises(AssertionError, match="status=400"):
            async with server.peer("/", [(b"sec-websocket-version", None)]):
                pass


async def test_what_does_not_come() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": "x" * 200})
        await receive()

    async with serve(accepting(act)) as server, server.peer() as peer:
        assert await peer.recv_bytes(204) == b"\x81\x7e\x00\xc8" + b"x" * 200
        with pytest.raises(TimeoutError, match="2 bytes did not come, only b''"):
            await peer.recv_frame(timeout=0.01)
        peer.buffer += b"\x81\x7e\x00"
        with pytest.raises(TimeoutError, match=r"2 bytes did not come, only b'\\x00'"):
            await peer.recv_frame(timeout=0.01)


@pytest.mark.parametrize("end", ["close", "reset", "half_close"])
async def test_tcp_ends(end: str) -> None:
    events: list[Event] = []

    async def act(receive: Receive, send: Send) -> None:
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        events.append(event)

    async with serve(accepting(act)) as server, server.peer() as peer:
        await peer.send_frame(TEXT, b"x")
        await peer.recv_frame()
        getattr(peer, end)()
        if end == "half_close":
            assert await peer.recv_rest() == b""
        await server.emptied()
    assert events == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


async def test_a_peer_stops_reading_and_goes_on() -> None:
    """The server's `send` waits for it, and nothing is lost."""
    count, size = 64, 256 * KIB
    sent: list[int] = []

    async def act(receive: Receive, send: Send) -> None:
        for i in range(count):
            await send({"type": "websocket.send", "bytes": b"x" * size})
            sent.append(i)
        await receive()

    async with serve(accepting(act)) as server, server.peer() as peer:
        (connection,) = server.connections
        while not connection.write_buffer_size:  # type: ignore[union-attr]
            await anyio.lowlevel.checkpoint()
        assert len(sent) < count
        for _ in range(count):
            assert len((await peer.recv_frame()).payload) == size
        assert len(sent) == count


async def test_a_stalled_peer_is_given_up() -> None:
    ends: list[int] = []

    async def act(receive: Receive, send: Send) -> None:
        with pytest.raises(ClientDisconnected) as caught:  # noqa: PT012
            while True:
                await send({"type": "websocket.send", "bytes": bytes(64 * KIB)})
        ends.append(caught.value.code)

    limits = Limits(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05)
    async with serve(accepting(act), limits=limits) as server, server.peer():
        await server.emptied()
    assert ends == [1008]


async def test_a_reset_is_one() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        peer = await Peer.connect(listener.getsockname())
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            peer.reset()
            with pytest.raises(ConnectionResetError):
                await loop.sock_recv(accepted, 1)


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    with pytest.raises(ConnectionRefusedError):
        await Peer.connect(address)


def test_a_frame_by_hand() -> None:
    """RFC 6455 section 5.7."""
    assert frame(TEXT, b"Hello", mask=None) == b"\x81\x05Hello"
    assert frame(TEXT, b"Hello") == b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    assert frame(TEXT, b"Hel", fin=False, mask=None) == b"\x01\x03Hel"
    assert frame(BINARY, bytes(256), mask=None)[:4] == b"\x82\x7e\x01\x00"
    assert frame(BINARY, bytes(65536), mask=None)[:10] == b"\x82\x7f" + (65536).to_bytes(8, "big")
    assert frame(TEXT, b"", rsv=4)[0] == 0xC1
    assert close(1000, "bye") == frame(CLOSE, b"\x03\xe8bye")
    assert Frame(CLOSE, b"\x03\xe8bye").closing() == (1000, "bye")
