"""How a connection ends, and how one hears of it."""

import asyncio

import pytest

import fastws
from fastws.limits import Limits
from tests.client.peer import BINARY, CLOSE, TEXT, Peer, Play, frame
from tests.processes import Server

NORMAL = b"\x03\xe8"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4321, "gr\xfc\xdfe")])
async def test_the_server_closes(server: Server, code: int, reason: str) -> None:
    async with fastws.connect(server.url(f"/close?code={code}&reason=") + quoted(reason)) as ws:
        assert await ws.recv() == "last"
        with pytest.raises(fastws.Disconnected) as caught:
            await ws.recv()
        error = caught.value
        assert (error.code, error.reason, error.clean) == (code, reason, True)
        assert (ws.close_code, ws.close_reason) == (code, reason)
        with pytest.raises(fastws.Disconnected):
            await ws.send("too late")
        assert [message async for message in ws] == []


def quoted(reason: str) -> str:
    return "".join(f"%{byte:02x}" for byte in reason.encode())


async def test_the_client_closes(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(frame(TEXT, b"before"))
        assert await peer.read_frame() == (CLOSE, b"\x0f\xa1why")
        peer.writer.write(frame(TEXT, b"behind") + frame(CLOSE, b"\x0f\xa1"))
        # RFC 6455 7.1.1: the server closes TCP first.
        assert await peer.reader.read(0) == b""
        peer.writer.write_eof()
        assert await peer.read_end() == b""

    ws = await fastws.connect(await play(script))
    assert await ws.recv() == "before"
    assert (ws.close_code, ws.close_reason) == (None, None)
    receiving = asyncio.ensure_future(ws.recv())
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(ws.close(4001, "why"))
    await asyncio.sleep(0)
    # Not before the server has had its say.
    assert (ws.close_code, ws.close_reason) == (None, None)
    await closing
    assert (ws.close_code, ws.close_reason) == (4001, "why")
    with pytest.raises(fastws.Disconnected) as caught:
        await receiving
    assert (caught.value.code, caught.value.clean) == (4001, True)
    with pytest.raises(fastws.Disconnected):
        await ws.send("too late")
    await ws.close()


async def test_what_came_before_the_end_can_be_received_behind_it(play: Play) -> None:
    messages = [str(number) for number in range(10)]

    async def script(peer: Peer) -> None:
        await peer.accept(b"".join(frame(TEXT, message.encode()) for message in messages))
        assert await peer.read_frame() == (CLOSE, NORMAL)
        peer.writer.write(frame(CLOSE, NORMAL))

    ws = await fastws.connect(await play(script))
    await ws.close()
    assert [message async for message in ws] == messages


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 5000, 65536])
async def test_a_code_that_may_not_be_sent(server: Server, code: int) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        with pytest.raises(ValueError, match=str(code)):
            await ws.close(code)
        await ws.send("still open")
        assert await ws.recv() == "still open"


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError, 1011), (asyncio.CancelledError, 1001), (None, 1000)]
)
async def test_how_a_block_is_left(
    play: Play, error: type[BaseException] | None, code: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        closing = (CLOSE, code.to_bytes(2, "big"))
        assert await peer.read_frame() == closing
        peer.writer.write(frame(*closing))

    async def block(url: str) -> None:
        async with fastws.connect(url):
            if error is not None:
                raise error

    url = await play(script)
    if error is None:
        await block(url)
    else:
        with pytest.raises(error):
            await block(url)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_server_that_goes_without_a_close_frame(play: Play, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(frame(TEXT, b"first") + frame(TEXT, b"x" * 100)[:50])
        assert await peer.read_frame() == (TEXT, b"received")
        if reset:
            peer.reset()

    ws = await fastws.connect(await play(script))
    assert await ws.recv() == "first"
    await ws.send("received")
    with pytest.raises(fastws.Disconnected) as caught:
        await ws.recv()
    assert (caught.value.code, caught.value.reason, caught.value.clean) == (1006, "", False)
    assert (ws.close_code, ws.close_reason) == (1006, "")
    assert [message async for message in ws] == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"masked", key=b"abcd"), 1002),
        (b"\xc1\x00", 1002),  # compressed, which nobody agreed on
        (b"\x83\x00", 1002),  # opcode 3
        (b"\x80\x00", 1002),  # a continuation of nothing
        (b"\x09\x00", 1002),  # a ping in fragments
        (b"\x81\x7e\x00\x01x", 1002),  # not the shortest length
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xee"), 1002),  # 1006
        (frame(TEXT, b"\xff"), 1007),
        (frame(BINARY, b"x" * (1 << 20) + b"y"), 1009),
    ],
)
async def test_a_server_that_breaks_the_rules_is_told(play: Play, data: bytes, code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(frame(TEXT, b"fine") + data + frame(TEXT, b"behind"))
        opcode, payload = await peer.read_frame()
        assert (opcode, payload[:2]) == (CLOSE, code.to_bytes(2, "big"))
        assert await peer.read_end() == b""

    async with fastws.connect(await play(script), compression=False) as ws:
        assert await ws.recv() == "fine"
        with pytest.raises(fastws.Disconnected) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.clean) == (code, False)
    assert ws.close_code == code


async def test_a_server_that_does_not_close_is_not_waited_for(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.read_end()

    ws = await fastws.connect(await play(script), limits=Limits(close_timeout=0.05))
    await ws.close()
    with pytest.raises(fastws.Disconnected) as caught:
        await ws.recv()
    assert (caught.value.code, caught.value.clean) == (1000, False)


async def test_a_server_that_leaves_tcp_open_is_not_waited_for(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.read_frame() == (CLOSE, NORMAL)
        peer.writer.write(frame(CLOSE, NORMAL))
        await peer.read_end()

    ws = await fastws.connect(await play(script), limits=Limits(close_timeout=0.05))
    await ws.close()
    assert ws.close_code == 1000


async def test_abort(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.read_end() == b""

    ws = await fastws.connect(await play(script))
    ws.abort()
    with pytest.raises(fastws.Disconnected) as caught:
        await ws.recv()
    assert (caught.value.code, ws.close_code) == (1006, 1006)
    ws.abort()
    await ws.close()


async def test_our_own_server_vanishes(server: Server) -> None:
    ws = await fastws.connect(server.url("/vanish"))
    assert [message async for message in ws] == []
    assert ws.close_code == 1006
