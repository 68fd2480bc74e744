"""An open connection: messages, pings, and its ends."""

import asyncio
from contextlib import suppress

import pytest

import fastws
from fastws.limits import Limits
from fastws.wire.deflate import Deflate
from tests.client.peer import BINARY, CLOSE, PING, PONG, TEXT, Peer, Play, frame
from tests.processes import PATIENCE, Server

NORMAL = b"\x03\xe8"

# Messages.


@pytest.mark.parametrize("compression", [False, True, Deflate(context_takeover=True)])
async def test_every_kind_of_message_comes_back(
    server: Server, compression: bool | Deflate
) -> None:
    messages: list[str | bytes] = ["", b"", "text", b"bytes", "gr\xfc\xdfe \U0001f600", b"\0\xff"]
    messages += ["ab" * 1000, "x" * (1 << 20), bytes(range(256)) * 4096]
    async with fastws.connect(server.url("/echo"), compression=compression) as ws:
        assert (ws.compression is not None) is bool(compression)
        for message in messages:
            await ws.send(message)
            assert await ws.recv() == message
            await ws.send(message, compress=False)
            assert await ws.recv() == message


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_any_buffer_can_be_sent(
    server: Server, kind: type[bytearray] | type[memoryview]
) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        await ws.send(kind(b"bytes"))
        assert await ws.recv() == b"bytes"


@pytest.mark.parametrize("message", [None, 1, ["a"], {"a": 1}, object()])
async def test_nothing_else_can_be_sent(server: Server, message: object) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        with pytest.raises(TypeError):
            await ws.send(message)  # type: ignore[arg-type]
        await ws.send("still open")
        assert await ws.recv() == "still open"


async def test_many_messages_in_their_order(server: Server) -> None:
    count = 20_000
    async with fastws.connect(server.url("/echo")) as ws, asyncio.TaskGroup() as group:

        async def produce() -> None:
            for number in range(count):
                await ws.send(str(number))

        group.create_task(produce())
        for number in range(count):
            assert await ws.recv() == str(number)


async def test_frames_are_masked_and_pings_are_answered(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(frame(PING, b"are you there"))
        assert await peer.read_frame() == (PONG, b"are you there")
        assert await peer.read_frame() == (TEXT, "gr\xfc\xdfe".encode())
        assert await peer.read_frame() == (BINARY, b"x" * 70_000)
        peer.writer.write(frame(CLOSE, NORMAL))
        assert await peer.read_frame() == (CLOSE, NORMAL)

    async with fastws.connect(await play(script), compression=False) as ws:
        await ws.send("gr\xfc\xdfe")
        await ws.send(b"x" * 70_000)
        assert [message async for message in ws] == []


# Waiting for messages.


async def test_what_times_out_or_is_cancelled_has_taken_nothing(server: Server) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        for number in range(200):
            await ws.send(str(number))
            while True:
                with suppress(TimeoutError):
                    assert await ws.recv(timeout=0) == str(number)
                    break
        for number in range(200):
            await ws.send(str(number))
            while True:
                receiving = asyncio.ensure_future(ws.recv())
                await asyncio.sleep(0)
                if receiving.cancel():
                    with suppress(asyncio.CancelledError):
                        await receiving
                if not receiving.cancelled():
                    break
            assert receiving.result() == str(number)


async def test_a_message_in_time(server: Server) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        await ws.send("here")
        assert await ws.recv(timeout=PATIENCE) == "here"
        with pytest.raises(TimeoutError):
            await ws.recv(timeout=0.01)


async def test_several_receive_in_turn(server: Server) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        receiving = [asyncio.ensure_future(ws.recv()) for _ in range(3)]
        await asyncio.sleep(0)
        receiving[1].cancel()
        await ws.send("one")
        await ws.send("two")
        assert [await receiving[0], await receiving[2]] == ["one", "two"]


# Flow control.


async def test_send_waits_for_a_server_that_does_not_read(play: Play) -> None:
    # More than the kernel's buffers of both sides can ever hold.
    chunk, count = b"x" * (1 << 18), 400
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go_on.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(count):
            assert await peer.read_frame() == (BINARY, chunk)
        assert await peer.read_frame() == (CLOSE, NORMAL)
        peer.writer.write(frame(CLOSE, NORMAL))

    limits = Limits(max_write_buffer=65536)
    async with fastws.connect(await play(script), compression=False, limits=limits) as ws:
        most = 0

        async def produce() -> None:
            nonlocal most
            for _ in range(count):
                await ws.send(chunk)
                most = max(most, ws.write_buffer_size)

        producing = asyncio.create_task(produce())
        while ws.write_buffer_size <= limits.max_write_buffer:
            assert not producing.done()
            await asyncio.sleep(0)
        go_on.set()
        await producing
        assert most <= limits.max_write_buffer + 2 * len(chunk)


async def test_a_send_that_is_cancelled_while_it_waits_sends_nothing(play: Play) -> None:
    chunk = b"x" * (1 << 18)
    go_on = asyncio.Event()
    received = 0

    async def script(peer: Peer) -> None:
        nonlocal received
        await peer.accept()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go_on.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while (found := await peer.read_frame()) == (BINARY, chunk):
            received += 1
        assert found == (CLOSE, NORMAL)
        peer.writer.write(frame(CLOSE, NORMAL))

    async with fastws.connect(await play(script), compression=False) as ws:
        sent = 0
        while True:
            sending = asyncio.ensure_future(ws.send(chunk))
            await asyncio.sleep(0)
            if sending.cancel():
                with suppress(asyncio.CancelledError):
                    await sending
                break
            sent += 1
        go_on.set()
    assert received == sent > 0


async def test_reading_stops_while_messages_pile_up(play: Play) -> None:
    # More than the kernel's buffers of both sides can ever hold.
    payload, count = b"x" * 65536, 1000
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.accept()
        for _ in range(count):
            peer.writer.write(frame(BINARY, payload))
            await peer.writer.drain()
            sent += 1
        peer.writer.write(frame(CLOSE, NORMAL))
        assert await peer.read_frame() == (CLOSE, NORMAL)

    async with fastws.connect(await play(script)) as ws:
        for _ in range(20 * count):
            await asyncio.sleep(0)
        assert sent < count
        assert [message async for message in ws] == [payload] * count


# Pings.


async def test_a_ping_tells_its_round_trip_time(server: Server) -> None:
    async with fastws.connect(server.url("/echo")) as ws:
        assert ws.rtt == 0
        rtt = await ws.ping()
        assert 0 <= rtt == ws.rtt


async def test_a_pong_answers_the_pings_before_it_too(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        (_, first), (_, second) = await peer.read_frame(), await peer.read_frame()
        assert first != second
        peer.writer.write(frame(PONG, b"unasked") + frame(TEXT, b"now") + frame(PONG, second))
        assert await peer.read_frame() == (CLOSE, NORMAL)
        peer.writer.write(frame(CLOSE, NORMAL))

    async with fastws.connect(await play(script)) as ws:
        pings = [ws.ping(), ws.ping()]
        assert await ws.recv() == "now"
        await asyncio.gather(*pings)


async def test_a_ping_fails_when_the_connection_ends(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.read_frame()
        peer.reset()

    ws = await fastws.connect(await play(script))
    with pytest.raises(fastws.Disconnected) as caught:
        await ws.ping()
    assert caught.value.code == 1006
    with pytest.raises(fastws.Disconnected):
        await ws.ping()


async def test_a_silent_server_is_given_up(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        opcode, _ = await peer.read_frame()
        assert opcode == PING
        opcode, payload = await peer.read_frame()
        assert (opcode, payload[:2]) == (CLOSE, b"\x03\xf3")

    limits = Limits(ping_interval=0.05, ping_timeout=0.05)
    ws = await fastws.connect(await play(script), limits=limits)
    with pytest.raises(fastws.Disconnected, match="1011 keepalive ping timeout"):
        await ws.recv()
    await ws.close()


# The ends.


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
    await ws.close(4001, "why")
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
