"""How a connection comes about, or does not."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

import fastws
from fastws.limits import Limits
from tests.client.peer import CLOSE, TEXT, Peer, Play, frame
from tests.processes import Server

Serve = Callable[..., Server]


async def greet(peer: Peer) -> None:
    """Opens, closes, and waits for the client to agree."""
    await peer.accept(frame(TEXT, b"hello") + frame(CLOSE, b"\x03\xe8"))
    assert await peer.read_frame() == (CLOSE, b"\x03\xe8")


async def test_async_with_and_await(server: Server) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        assert isinstance(ws, fastws.ClientConnection)
        await ws.send("with")
        assert await ws.recv() == "with"
    assert ws.close_code == 1000
    ws = await fastws.connect(server.url("/echo"))
    await ws.send("await")
    assert await ws.recv() == "await"
    assert ws.close_code is None
    await ws.close()
    assert ws.close_code == 1000


async def test_every_await_opens_another_connection(server: Server) -> None:
    connecting = fastws.connect(server.url("/request"))
    keys = set()
    for _ in range(2):
        async with connecting as ws:
            lines = str(await ws.recv()).split("\n")
            keys |= {line for line in lines if line.startswith("sec-websocket-key: ")}
    assert len(keys) == 2


async def test_what_is_asked_for_arrives(server: Server) -> None:
    headers = {"Origin": "http://localhost", "X-Name": "value"}
    async with fastws.connect(server.url("/request?a=%20b"), headers=headers) as ws:
        message = await ws.recv()
        assert isinstance(message, str)
        lines = message.split("\n")
        assert lines[0] == "ws a=%20b"
        assert f"host: {server.host}:{server.port}" in lines
        assert "origin: http://localhost" in lines
        assert "x-name: value" in lines
        assert (b"x-answer", b"42") in ws.response_headers


async def test_a_subprotocol_is_agreed_on(server: Server) -> None:
    subprotocols = ["chat.v1", "chat.v2"]
    url = server.url("/echo?subprotocol=chat.v2")
    async with fastws.connect(url, subprotocols=subprotocols) as ws:
        assert ws.subprotocol == "chat.v2"
    async with fastws.connect(server.url("/echo"), subprotocols=subprotocols) as ws:
        assert ws.subprotocol is None


async def test_a_name_is_looked_up(play: Play) -> None:
    url = await play(greet)
    async with fastws.connect(url.replace("127.0.0.1", "localhost")) as ws:
        assert await ws.recv() == "hello"


async def test_a_unix_socket(serve: Serve, socket_path: Path) -> None:
    serve("tests.client.app:app", "--uds", str(socket_path))
    async with fastws.connect("ws://localhost/request", uds=socket_path) as ws:
        message = await ws.recv()
    assert "host: localhost" in str(message).split("\n")


# TLS.


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(serve: Serve, authority: trustme.CA, tmp_path: Path) -> Server:
    """Our server with a certificate for localhost, which nobody knows."""
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    options = ("--ssl-keyfile", tmp_path / "key.pem", "--ssl-certfile", tmp_path / "cert.pem")
    return serve("tests.client.app:app", *map(str, options))


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls(secure: Server, trusting: ssl.SSLContext) -> None:
    url = f"wss://localhost:{secure.port}"
    async with fastws.connect(f"{url}/request", ssl=trusting) as ws:
        assert str(await ws.recv()).startswith("wss ")
    async with fastws.connect(f"{url}/echo", ssl=trusting) as ws:
        for size in (0, 1000, 1 << 20):
            await ws.send(b"x" * size)
            assert await ws.recv() == b"x" * size
        assert await ws.ping() >= 0
    assert ws.close_code == 1000


async def test_tls_checks_certificate_and_name(secure: Server, trusting: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        await fastws.connect(f"wss://localhost:{secure.port}/echo")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.1"):
        await fastws.connect(f"wss://127.0.0.1:{secure.port}/echo", ssl=trusting)


async def test_ssl_is_for_wss() -> None:
    with pytest.raises(ValueError, match="wss"):
        fastws.connect("ws://localhost/", ssl=ssl.create_default_context())


# Refusals.


async def test_a_refusal_has_status_headers_and_body(server: Server) -> None:
    with pytest.raises(fastws.HandshakeError, match="HTTP 401: Unauthorized") as caught:
        await fastws.connect(server.url("/refuse?size=5"))
    assert caught.value.status == 401
    assert (b"www-authenticate", b"Basic") in caught.value.headers
    assert caught.value.body == b"xxxxx"
    with pytest.raises(fastws.HandshakeError) as caught:
        await fastws.connect(server.url("/refuse?size=1000000"))
    assert caught.value.body == b"x" * 65536


async def test_a_closed_handshake_is_a_403(server: Server) -> None:
    with pytest.raises(fastws.HandshakeError) as caught:
        async with fastws.connect(server.url("/")):
            pass
    assert caught.value.status == 403


async def test_a_redirect_is_not_followed(play: Play) -> None:
    async def redirect(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(b"HTTP/1.1 301 Moved\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n")
        assert await peer.read_end() == b""

    with pytest.raises(fastws.HandshakeError) as caught:
        await fastws.connect(await play(redirect))
    assert caught.value.status == 301
    assert (b"location", b"/x") in caught.value.headers


async def test_nobody_listens(free_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await fastws.connect(f"ws://127.0.0.1:{free_port}/")


# Servers that do not answer as they should.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sec_websocket_accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, "Sec-WebSocket-Accept"),
        ({"upgrade": None}, "Upgrade"),
        ({"sec_websocket_extensions": "x-webkit-deflate-frame"}, "extension"),
        ({"sec_websocket_protocol": "chat"}, "subprotocol"),
        ({"x": "y" * 65536}, "too large"),
    ],
)
async def test_a_wrong_answer_ends_the_connection(
    play: Play, changes: dict[str, str | None], reason: str
) -> None:
    async def answer(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(peer.response(**changes))
        assert await peer.read_end() == b""

    with pytest.raises(fastws.HandshakeError, match=reason):
        await fastws.connect(await play(answer))


async def test_a_head_without_an_end_is_bounded(play: Play) -> None:
    async def flood(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(b"HTTP/1.1 101 ")
        while not peer.writer.is_closing():
            peer.writer.write(b"x" * 1000)
            try:
                await peer.writer.drain()
            except ConnectionError:
                return

    with pytest.raises(fastws.HandshakeError, match="too large"):
        await fastws.connect(await play(flood))


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 101 Switching Protocols\r\nupgr"])
async def test_a_server_that_leaves_before_it_has_answered(play: Play, part: bytes) -> None:
    async def leave(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(part)

    with pytest.raises(fastws.Disconnected) as caught:
        await fastws.connect(await play(leave))
    assert (caught.value.code, caught.value.clean) == (1006, False)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 101 Switching Protocols\r\nupgr"])
async def test_a_server_that_is_too_slow(play: Play, part: bytes) -> None:
    async def stall(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(part)
        assert await peer.read_end() == b""

    with pytest.raises(TimeoutError):
        await fastws.connect(await play(stall), open_timeout=0.05)


async def test_a_refusal_counts_even_if_its_body_does_not_end(play: Play) -> None:
    async def stall(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\nso f")
        assert await peer.read_end() == b""

    with pytest.raises(fastws.HandshakeError) as caught:
        await fastws.connect(await play(stall), open_timeout=0.05)
    assert caught.value.status == 503


async def test_a_refusal_may_end_with_tcp(play: Play) -> None:
    async def leave(peer: Peer) -> None:
        await peer.read_request()
        peer.writer.write(b"HTTP/1.0 500 Oops\r\n\r\nso far")

    with pytest.raises(fastws.HandshakeError) as caught:
        await fastws.connect(await play(leave))
    assert (caught.value.status, caught.value.body) == (500, b"so far")


# Ways to be in time.


async def test_messages_may_come_with_the_response(play: Play) -> None:
    ws = await fastws.connect(await play(greet))
    assert [message async for message in ws] == ["hello"]
    assert ws.close_code == 1000
    await ws.close()


async def test_a_response_may_come_byte_by_byte(play: Play) -> None:
    async def dribble(peer: Peer) -> None:
        await peer.read_request()
        data = peer.response() + frame(TEXT, b"x" * 200) + frame(CLOSE, b"\x03\xe9bye")
        for byte in data:
            peer.writer.write(bytes([byte]))
            await peer.writer.drain()
            await asyncio.sleep(0)
        assert await peer.read_frame() == (CLOSE, b"\x03\xe9")

    async with fastws.connect(await play(dribble)) as ws:
        assert [message async for message in ws] == ["x" * 200]
        assert (ws.close_code, ws.close_reason) == (1001, "bye")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_to_cancel_ends_the_connection(play: Play, scheme: str) -> None:
    asked = asyncio.Event()

    async def stall(peer: Peer) -> None:
        assert await peer.reader.read(1)
        asked.set()
        await peer.read_end()

    url = (await play(stall)).replace("ws", scheme)
    connecting = asyncio.ensure_future(fastws.connect(url))
    await asked.wait()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting


async def test_to_cancel_leaves_nothing_behind_at_any_moment(play: Play) -> None:
    async def script(peer: Peer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionResetError):
            await peer.accept()
            await peer.read_end()

    url = await play(script)
    for turns in range(40):
        connecting = asyncio.ensure_future(fastws.connect(url))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with suppress(asyncio.CancelledError):
            (await connecting).abort()


async def test_limits_are_those_of_the_connection(play: Play) -> None:
    async def exceed(peer: Peer) -> None:
        await peer.accept(frame(TEXT, b"x" * 101))
        opcode, payload = await peer.read_frame()
        assert (opcode, payload[:2]) == (CLOSE, b"\x03\xf1")

    async with fastws.connect(await play(exceed), limits=Limits(max_message_size=100)) as ws:
        with pytest.raises(fastws.Disconnected) as caught:
            await ws.recv()
    assert (caught.value.code, caught.value.clean) == (1009, False)
