"""The client against another implementation: the server of `websockets`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

import fastws
from fastws.wire.deflate import Deflate, Params

Handler = Callable[[ServerConnection], Awaitable[None]]

MESSAGES: list[str | bytes] = [
    "",
    b"",
    "text" * 500,
    b"\0\xff" * 500,
    "gr\xfc\xdfe" * 1000,
    "x" * (1 << 20),
]


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def serving(handler: Handler = echo, **options: Any) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        host, port = next(iter(server.sockets)).getsockname()
        yield f"ws://{host}:{port}/"


async def test_messages_without_compression() -> None:
    async with serving() as url, fastws.connect(url, compression=False) as ws:
        assert ws.compression is None
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.recv() == message


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("server_takeover", [True, False])
@pytest.mark.parametrize("client_takeover", [True, False])
async def test_compression_with_and_without_takeover(
    offered: bool, server_takeover: bool, client_takeover: bool
) -> None:
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=not server_takeover,
        client_no_context_takeover=not client_takeover,
        server_max_window_bits=12,
        client_max_window_bits=11,
    )
    options = Deflate(context_takeover=offered)
    async with (
        serving(extensions=[factory]) as url,
        fastws.connect(url, compression=options) as ws,
    ):
        assert ws.compression == Params(
            offered and server_takeover, offered and client_takeover, 12, 11
        )
        for _ in range(2):
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message


async def test_a_server_without_compression() -> None:
    async with serving(compression=None) as url, fastws.connect(url) as ws:
        assert ws.compression is None
        await ws.send("x" * 1000)
        assert await ws.recv() == "x" * 1000


async def test_fragments_are_put_together() -> None:
    async def fragments(connection: ServerConnection) -> None:
        await connection.send(["gr", "\xfc", "", "\xdfe"])
        await connection.send([b"a", b"b"])

    async with serving(fragments) as url, fastws.connect(url) as ws:
        assert [message async for message in ws] == ["gr\xfc\xdfe", b"ab"]
        assert ws.close_code == 1000


async def test_pings_both_ways() -> None:
    async def ping(connection: ServerConnection) -> None:
        await (await connection.ping("from the server"))
        await connection.send("answered")
        await connection.wait_closed()

    async with serving(ping) as url, fastws.connect(url) as ws:
        assert await ws.ping() >= 0
        assert await ws.recv() == "answered"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (3000, "why"), (1011, "gr\xfc\xdfe")])
async def test_both_sides_know_how_it_ended(code: int, reason: str) -> None:
    closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def wait(connection: ServerConnection) -> None:
        await connection.wait_closed()
        closed.put_nowait((connection.close_code, connection.close_reason))

    async def close(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    async with serving(wait) as url:
        ws = await fastws.connect(url)
        await ws.close(code, reason)
        assert await closed.get() == (code, reason) == (ws.close_code, ws.close_reason)
    async with serving(close) as url, fastws.connect(url) as ws:
        with pytest.raises(fastws.Disconnected) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.reason, caught.value.clean) == (code, reason, True)


async def test_subprotocols() -> None:
    async with (
        serving(subprotocols=["b", "a"]) as url,
        fastws.connect(url, subprotocols=["a", "c"]) as ws,
    ):
        assert ws.subprotocol == "a"


async def test_a_refusal() -> None:
    def refuse(connection: ServerConnection, _: object) -> Any:
        return connection.respond(418, "a teapot\n")

    async with serving(process_request=refuse) as url:
        with pytest.raises(fastws.HandshakeError) as caught:
            await fastws.connect(url)
    assert (caught.value.status, caught.value.body) == (418, b"a teapot\n")


async def test_a_unix_socket(socket_path: Path) -> None:
    async with (
        unix_serve(echo, str(socket_path)),
        fastws.connect("ws://localhost/", uds=str(socket_path)) as ws,
    ):
        await ws.send("hello")
        assert await ws.recv() == "hello"
