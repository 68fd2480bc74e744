"""What a peer may send: each limit has its close code, and a reason that names it."""

import asyncio
import logging
import zlib
from typing import Any

import pytest

from fastws.limits import Limits
from fastws.testing import Clock
from tests.server.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    connected,
    frame,
    text,
)
from tests.server.serving import ACCEPT, ON_CLOCK, Receive, Scope, Script, Send, echo, running

SMALL = Limits(
    max_message_size=1000,
    max_frame_size=2000,
    max_wire_size=3000,
    max_tiny_fragments=20,
    max_ping_rate=50,
    message_timeout=0.1,
    close_timeout=0.1,
)
DEFLATE = [(b"sec-websocket-extensions", b"permessage-deflate")]


def deflated(data: bytes) -> bytes:
    """Compresses a message as RFC 7692 wants it."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragments(count: int, payload: bytes, *, end: bool = False) -> bytes:
    """Gives the first fragments of a message."""
    middle = frame(CONTINUATION, payload, fin=False)
    first = frame(BINARY, payload, fin=False)
    return first + middle * (count - 2) + frame(CONTINUATION, payload, fin=end)


TOO_MUCH: dict[str, tuple[bytes, int, str]] = {
    "a message": (frame(BINARY, b"x" * 1001), 1009, "the limit is 1000"),
    "its header alone": (frame(BINARY, b"x" * 1001)[:8], 1009, "the limit is 1000"),
    "a message in fragments": (fragments(11, b"x" * 100), 1009, "the limit is 1000"),
    "a frame": (frame(BINARY, b"x" * 2001), 1009, "the limit is 2000"),
    "2**63 - 1 bytes": (b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + b"mask", 1009, "2000"),
    "2**63 bytes": (b"\x82\xff" + (2**63).to_bytes(8, "big") + b"mask", 1002, "highest bit"),
    "the wire": (
        frame(BINARY, b"", fin=False, rsv=4)
        + frame(CONTINUATION, b"x" * 1900, fin=False)
        + frame(CONTINUATION, b"x" * 1900, fin=False),
        1009,
        "3000 bytes on the wire",
    ),
    "tiny fragments": (fragments(22, b"x"), 1008, "20 tiny fragments"),
    "empty fragments": (fragments(22, b""), 1008, "20 tiny fragments"),
    "an inflated message": (
        frame(BINARY, deflated(b"x" * 1001), rsv=4),
        1009,
        "inflates to over 1000 bytes",
    ),
    "a bomb": (
        frame(BINARY, deflated(b"\0" * 1_000_000), rsv=4),
        1009,
        "inflates to over 1000 bytes",
    ),
    "pings": (frame(PING) * 51, 1008, "50 pings and pongs in a second"),
    "pongs": (frame(PONG, b"x") * 51, 1008, "50 pings and pongs in a second"),
    "half a message": (frame(BINARY, b"x", fin=False), 1008, "took too long"),
    "half a frame": (text("xyz")[:-1], 1008, "took too long"),
    "half a header": (text("xyz")[:1], 1008, "took too long"),
    "half a control frame": (frame(PING, b"xyz")[:-1], 1008, "took too long"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
async def test_too_much(name: str, caplog: pytest.LogCaptureFixture) -> None:
    sent, code, reason = TOO_MUCH[name]
    caplog.set_level(logging.INFO)
    async with running(echo, SMALL) as server:
        async with connected(server.address, "/ws", DEFLATE) as peer:
            await peer.send(text("before"), sent)
            assert await answer_after(peer) == Frame(TEXT, b"before")
            found = await peer.ended()
            assert found[0] == code
            assert reason in found[1]
        await server.emptied()
    assert f"failed: {code} " in caplog.text
    assert reason in caplog.text


ENOUGH: dict[str, tuple[bytes, int]] = {
    "a message": (frame(BINARY, b"x" * 1000), 1000),
    "a message in fragments": (fragments(10, b"x" * 100, end=True), 1000),
    "tiny fragments": (fragments(20, b"x", end=True), 20),
    "an inflated message": (frame(BINARY, deflated(b"x" * 1000), rsv=4), 1000),
    "nothing": (frame(BINARY), 0),
}


@pytest.mark.parametrize("name", ENOUGH)
async def test_what_is_just_enough_passes(name: str) -> None:
    sent, size = ENOUGH[name]
    limits = SMALL.replace(message_timeout=None)
    async with (
        running(echo, limits) as server,
        connected(server.address, "/ws", DEFLATE) as peer,
    ):
        for _ in range(3):
            await peer.send(sent)
            found = await peer.frame()
            payload = found.payload
            if found.rsv:
                payload = zlib.decompressobj(wbits=-15).decompress(payload)
            assert payload == b"x" * size


async def test_pings_below_the_rate_are_all_answered() -> None:
    async with running(echo, SMALL) as server, connected(server.address) as peer:
        await peer.send(frame(PING, b"x") * 50)
        for _ in range(50):
            assert await peer.frame() == Frame(PONG, b"x")


async def answer_after(peer: Peer) -> Frame:
    """Receive the first frame that is not a pong."""
    while (found := await peer.frame()).opcode == PONG:
        pass
    return found


@ON_CLOCK
@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_the_rate_of_controls_is_that_of_a_second(opcode: int, clock: Clock) -> None:
    """Each second allows the whole rate again; two halves of a second do not."""
    limits = Limits(max_ping_rate=50, ping_interval=None)
    async with running(echo, limits) as server, connected(server.address) as peer:
        for _ in range(4):
            await peer.send(frame(opcode, b"x") * 50)
            await clock.advance(1)
        await peer.send(text("still here"))
        assert await answer_after(peer) == Frame(TEXT, b"still here")
        await peer.send(frame(opcode, b"x") * 25)
        await clock.advance(0.9)
        await peer.send(frame(opcode, b"x") * 25)
        await clock.advance(0.05)
        await peer.send(frame(opcode, b"x"))
        await clock.settle()
        await peer.send(text("too late"))
        assert (await answer_after(peer)).opcode == CLOSE


@ON_CLOCK
@pytest.mark.parametrize("in_time", [True, False])
async def test_a_message_has_time_while_reading_is_paused(in_time: bool, clock: Clock) -> None:
    """The app causes the delay, so message_timeout starts anew once reading goes on."""

    async def act(receive: Receive, send: Send) -> str:
        await receive()
        await send(ACCEPT)
        await awake.wait()
        while (event := await receive()).get("text") == "":
            pass
        return str(event.get("text") or event["code"])

    awake = asyncio.Event()
    script = Script(act)
    limits = Limits(message_timeout=1.0, ping_interval=None)
    async with running(script, limits) as server, connected(server.address) as peer:
        (connection,) = server.connections
        await peer.send(text("") * 100 + text("whole")[:-1])
        await clock.settle()
        assert not connection.transport.is_reading()
        await clock.advance(5)
        awake.set()
        await clock.settle()
        assert connection.transport.is_reading()
        await clock.advance(0.8 if in_time else 1.2)
        await peer.send(text("whole")[-1:])
        assert await script.outcome == ("whole" if in_time else "1008")


async def test_a_message_has_its_own_time() -> None:
    """One after the other, all in fragments; together they take longer than one may."""
    limits = SMALL.replace(message_timeout=1.0)
    async with running(echo, limits) as server, connected(server.address) as peer:
        await peer.send(frame(BINARY, b"x", fin=False))
        for _ in range(30):
            await peer.dribble(frame(CONTINUATION, b"y"))
            assert await peer.frame() == Frame(BINARY, b"xy")
            await peer.dribble(frame(BINARY, b"x", fin=False))
            await peer.send(frame(PING))
            assert await peer.frame() == Frame(PONG, b"")


async def test_limits_that_are_off() -> None:
    limits = Limits(
        max_message_size=None,
        max_frame_size=None,
        max_wire_size=None,
        max_tiny_fragments=None,
        max_ping_rate=None,
        message_timeout=None,
    )
    async with running(echo, limits) as server, connected(server.address) as peer:
        await peer.send(fragments(20_000, b"x", end=True))
        assert len((await peer.frame()).payload) == 20_000
        await peer.send(frame(PONG) * 2000, frame(BINARY, b"x" * (20 << 20)))
        assert len((await peer.frame()).payload) == 20 << 20


@pytest.mark.parametrize("option", [{"ws_max_size": 1000}, {"limits": SMALL}])
async def test_where_limits_come_from(option: dict[str, Any]) -> None:
    async with running(echo, **option) as server, connected(server.address) as peer:
        await peer.send(frame(BINARY, b"x" * 1001))
        assert (await peer.ended())[0] == 1009


async def test_limits_at_accept() -> None:
    """Each connection may have its own, larger or smaller."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        size = int(scope["path"].strip("/"))
        await send(ACCEPT | {"fastws": {"limits": SMALL.replace(max_message_size=size)}})
        event = await receive()
        await send({"type": "websocket.send", "text": f"{len(event['bytes'])}"})

    async with running(app, Limits(max_message_size=500)) as server:
        for size in (100, 700):
            for more in (0, 1):
                async with connected(server.address, f"/{size}") as peer:
                    await peer.send(frame(BINARY, b"x" * (size + more)))
                    found = await peer.frame()
                    if more:
                        assert found.closing()[0] == 1009
                    else:
                        assert found == Frame(TEXT, f"{size}".encode())


async def test_others_notice_nothing() -> None:
    async with running(echo, SMALL) as server, connected(server.address) as good:
        for sent, code, _ in TOO_MUCH.values():
            async with connected(server.address, "/ws", DEFLATE) as peer:
                await peer.send(sent)
                await good.send(text("x" * 10))
                assert await good.frame() == Frame(TEXT, b"x" * 10)
                if code != 1008:
                    assert (await peer.ended())[0] == code
