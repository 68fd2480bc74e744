"""An open connection: messages, waiting for them, flow control, pings."""

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


async def test_each_message_may_say_whether_it_is_compressed(play: Play) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        agreed = "permessage-deflate; server_no_context_takeover"
        peer.writer.write(peer.response(sec_websocket_extensions=agreed))
        await peer.read_frame()
        assert peer.compressed
        assert await peer.read_frame() == (TEXT, b"x" * 1000)
        assert not peer.compressed
        peer.writer.write(frame(CLOSE, NORMAL))
        assert await peer.read_frame() == (CLOSE, NORMAL)

    async with fastws.connect(await play(script)) as ws:
        await ws.send("x" * 1000)
        await ws.send("x" * 1000, compress=False)
        assert [message async for message in ws] == []


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
        assert 0 < rtt == ws.rtt


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
