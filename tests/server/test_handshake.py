"""The opening handshake of a hostile client: how long, how large, and what comes around it."""

import asyncio
from collections.abc import Callable

import pytest

from fastws.limits import Limits
from fastws.testing import Clock
from tests.server.peer import CLOSE, TEXT, Frame, Peer, close, frame, request, tcp, text, upgrade
from tests.server.serving import (
    ACCEPT,
    ON_CLOCK,
    Event,
    Receive,
    Scope,
    Send,
    hello,
    running,
    until,
)

IMPATIENT = Limits(handshake_timeout=0.1, close_timeout=0.1)


# How long it may take.


async def test_a_client_that_says_nothing_is_let_go() -> None:
    async with running(hello, IMPATIENT) as server, tcp(server.address) as peer:
        assert await peer.rest() == b""
        await server.emptied()


@pytest.mark.parametrize(
    "beginning",
    [
        b"G",
        b"GET /ws HTTP/1.1\r\n",
        upgrade()[:-1],
        # An empty line before the request line is to be ignored (RFC 9112 section 2.2).
        b"\r\n\r\n",
        b"\r\n\r\nGET /ws HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n",
    ],
)
async def test_a_head_that_does_not_end_is_let_go(beginning: bytes) -> None:
    async with running(hello, IMPATIENT) as server, tcp(server.address) as peer:
        await peer.send(beginning)
        if beginning.strip():
            if beginning.startswith(b"GET / "):
                assert (await peer.head()).status == 200
                assert await peer.read(2) == b"hi"
            assert (await peer.refused())[0] == 408
        else:
            assert await peer.rest() == b""
        await server.emptied()


async def test_the_deadline_is_absolute() -> None:
    """Each byte of a slow head is progress, and none of them buys time."""
    async with running(hello, IMPATIENT) as server, tcp(server.address) as peer:
        refusal = asyncio.create_task(peer.refused())
        sent = 0
        # Ten times as many as there is time for.
        for byte in upgrade("/" + "a" * 500):
            if refusal.done():
                break
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.002)
            sent += 1
        assert (await refusal)[0] == 408
        assert sent < 500
        await server.emptied()


async def test_the_deadline_starts_again_with_each_request() -> None:
    async with running(hello, IMPATIENT) as server, tcp(server.address) as peer:
        for _ in range(3):
            await peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await peer.head()).status == 200
            assert await peer.read(2) == b"hi"
        await peer.send(b"GET")
        assert (await peer.refused())[0] == 408


async def test_a_websocket_has_no_handshake_deadline() -> None:
    async with running(hello, IMPATIENT) as server, tcp(server.address) as peer:
        await peer.open()
        async with tcp(server.address) as other:
            # It came later: once it is gone, the first one's time would be over, too.
            assert await other.rest() == b""
        await peer.send(text("still here"))
        assert await peer.frame() == Frame(TEXT, b"still here")


async def test_a_refused_client_that_stays_is_let_go() -> None:
    """It gets its answer and our FIN, and keeps TCP open: not longer than close_timeout.

    One that has a longer deadline came before it.
    """
    limits = Limits(handshake_timeout=3600.0, close_timeout=0.05)
    async with running(hello, limits) as server, tcp(server.address), tcp(server.address) as peer:
        await peer.send(upgrade(line=b"POST /ws HTTP/1.1"))
        assert (await peer.refused())[0] == 405
        await until(lambda: len(server.connections) == 1)


# How large it may be.


@pytest.mark.parametrize(
    ("start", "filler", "status"),
    [
        (b"GET /", b"a" * 1024, 414),
        (b"GET / HTTP/1.1\r\ncookie: ", b"a" * 1024, 431),
        (b"GET / HTTP/1.1\r\n", b"x-a: b\r\n" * 128, 431),
        (upgrade()[:-2] + b"cookie: ", b"a" * 1024, 431),
    ],
)
async def test_a_head_has_a_size_limit(start: bytes, filler: bytes, status: int) -> None:
    """F1: uvicorn takes 19.5 MB without an answer."""
    async with running(hello, Limits(max_header_size=16 * 1024)) as server:
        async with tcp(server.address) as peer:
            await peer.send(start + filler * 16)
            assert (await peer.refused())[0] == status
        async with tcp(server.address) as peer:
            await peer.send(start)
            refusal = asyncio.create_task(peer.refused())
            sent = 0
            while not refusal.done():
                await peer.send(filler)
                sent += len(filler)
                await asyncio.sleep(0)
                assert sent < 1 << 20
            assert (await refusal)[0] == status


async def test_a_complete_head_has_a_size_limit() -> None:
    async with running(hello, Limits(max_header_size=1024)) as server:
        for head in (upgrade, request):
            size = len(head(headers=[(b"cookie", b"")]))
            async with tcp(server.address) as peer:
                await peer.send(head(headers=[(b"cookie", b"a" * (1024 - size))]))
                assert (await peer.head()).status in (101, 200)
            async with tcp(server.address) as peer:
                await peer.send(head(headers=[(b"cookie", b"a" * (1025 - size))]))
                assert (await peer.refused())[0] == 431


@pytest.mark.parametrize("kind", ["upgrade", "plain"])
async def test_a_head_has_a_limit_of_headers(kind: str) -> None:
    count = {"upgrade": 5, "plain": 1}[kind]
    async with running(hello, Limits(max_header_count=20)) as server:
        for more, statuses in ((20 - count, (101, 200)), (21 - count, (431,))):
            headers = [(b"x-%d" % i, b"") for i in range(more)]
            head = upgrade("/ws", headers) if kind == "upgrade" else request(headers=headers)
            async with tcp(server.address) as peer:
                await peer.send(head)
                assert (await peer.head()).status in statuses


@pytest.mark.parametrize(
    "ending",
    [
        b"0\r\n" + b"x-a: b\r\n" * 1000,  # trailers
        b"0\r\nx-a: " + b"b" * 8000,
        b"1;a=" + b"b" * 8000,  # an extension of a chunk
    ],
)
async def test_what_a_chunked_body_brings_along_has_a_size_limit(ending: bytes) -> None:
    """Trailers go to the same list as the headers, and nothing else ends them."""
    head = request(b"POST", [(b"transfer-encoding", b"chunked")])
    async with running(read_all, Limits(max_header_size=4096)) as server:
        async with tcp(server.address) as peer:
            await peer.send(head + ending)
            answer = asyncio.create_task(peer.gone())
            sent = 0
            while not answer.done():
                try:
                    await peer.send(ending[5:])
                except ConnectionError:
                    break
                sent += len(ending)
                await asyncio.sleep(0)
                assert sent < 1 << 20
            assert await answer == b""
        await server.emptied()


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a request to its end, and says how much that was."""
    size, event = 0, await receive()
    while event["type"] == "http.request":
        size += len(event["body"])
        if not event["more_body"]:
            break
        event = await receive()
    headers = [(b"content-length", b"8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"%8d" % size})


async def test_a_body_is_not_counted_as_a_head() -> None:
    """A head that comes in one piece with the end of a body has its own count."""
    body = b"x" * 40_000
    head = request(b"POST", [(b"content-length", b"%d" % len(body))])
    async with (
        running(read_all, Limits(max_header_size=1024)) as server,
        tcp(server.address) as peer,
    ):
        await peer.send(head + body + head[:20])
        assert (await peer.head()).status == 200
        assert await peer.read(8) == b"   40000"
        await peer.send(head[20:] + body)
        assert (await peer.head()).status == 200
        assert await peer.read(8) == b"   40000"


# What comes before and behind it.


async def test_byte_by_byte() -> None:
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.dribble(upgrade())
        await peer.opened()
        await peer.dribble(text("slow") + close(1000))
        assert await peer.frame() == Frame(TEXT, b"slow")
        assert await peer.frame() == Frame(CLOSE, b"\x03\xe8")
        assert await peer.rest() == b""


async def test_frames_in_one_segment_with_the_request_are_delivered() -> None:
    """F1: uvicorn drops them."""
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.send(upgrade(), text("one"), text("two"), text("three")[:5])
        await peer.opened()
        await peer.send(text("three")[5:])
        for message in (b"one", b"two", b"three"):
            assert await peer.frame() == Frame(TEXT, message)


@pytest.mark.parametrize("count", [1, 100, 5000])
async def test_frames_that_come_before_the_answer_keep_their_order(count: int) -> None:
    """The more of them, the more still wait in the kernel when the app accepts."""
    may_accept = asyncio.Event()
    received: asyncio.Queue[str] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await may_accept.wait()
        await send(ACCEPT)
        while (event := await receive())["type"] == "websocket.receive":
            received.put_nowait(event["text"])

    messages = [f"{i:060d}" for i in range(count)]
    async with running(app) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        sending = asyncio.create_task(peer.send(*map(text, messages)))
        await asyncio.sleep(0.05)  # no more than to have some of it arrive
        may_accept.set()
        await peer.opened()
        assert [await received.get() for _ in messages] == messages
        await sending


async def test_a_flood_before_the_answer_stays_in_the_kernel() -> None:
    may_accept = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        await send({"type": "websocket.close"})

    async with running(app) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        block = text("x" * 65_000)
        quiet = sent = 0
        while quiet < 20:
            more = peer.send_some(block)
            sent += more
            quiet = 0 if more else quiet + 1
            await asyncio.sleep(0.001)
            assert sent < 64 << 20
        may_accept.set()
        assert b" 403 " in await peer.rest()
        peer.close()
        await server.emptied()


async def test_bad_frames_before_the_answer_fail_it() -> None:
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.send(upgrade(), frame(TEXT, b"x", mask=None))
        await peer.opened()
        assert (await peer.closed())[0] == 1002
        assert await peer.rest() == b""


async def test_an_upgrade_after_a_plain_request() -> None:
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.send(request())
        assert (await peer.head()).status == 200
        assert await peer.read(2) == b"hi"
        await peer.open()
        await peer.send(text("x"))
        assert await peer.frame() == Frame(TEXT, b"x")


@pytest.mark.parametrize("apart", [True, False])
async def test_an_upgrade_behind_an_unfinished_response_is_never_answered(apart: bool) -> None:
    """An answer of ours would stand where the response to the first request belongs."""
    may_answer = asyncio.Event()
    asked = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        assert scope["type"] == "http"
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await may_answer.wait()
        await send({"type": "http.response.body", "body": b"slow"})

    async with running(app) as server, tcp(server.address) as peer:
        if apart:
            await peer.send(request())
            await asked.wait()
            await peer.send(upgrade())
            await asyncio.sleep(0.01)
        else:
            await peer.send(request(), upgrade())
            await asked.wait()
        may_answer.set()
        head = await peer.head()
        assert (head.status, await peer.rest()) == (200, b"slow")
        await server.emptied()


@ON_CLOCK
async def test_a_head_may_wait_for_a_slow_response(clock: Clock) -> None:
    """While the app takes its time, that of the client does not pass."""
    may_answer = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_answer.wait()
        await hello(scope, receive, send)

    async with running(app, IMPATIENT) as server, tcp(server.address) as peer:
        await peer.send(request(), request()[:10])
        await clock.advance(0.3)  # three times the deadline
        may_answer.set()
        for rest in (request()[10:], b""):
            assert (await peer.head()).status == 200
            assert await peer.read(2) == b"hi"
            await peer.send(rest)


async def test_an_upgrade_while_an_old_response_is_still_being_sent() -> None:
    """The client reads a large response late; the frames must come behind it."""
    page = bytes(range(256)) * 32_768

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": page})
            return
        await receive()
        await send(ACCEPT)
        for i in range(100):
            await send({"type": "websocket.send", "text": f"message {i}"})
        await receive()

    async with running(app) as server, tcp(server.address, receive_buffer=4096) as peer:
        await peer.send(request())
        assert (await peer.head()).status == 200
        await peer.send(upgrade())
        await asyncio.sleep(0.05)
        await peer.read(len(b"800000\r\n"))
        assert await peer.read(len(page)) == page
        assert await peer.read(len(b"\r\n0\r\n\r\n")) == b"\r\n0\r\n\r\n"
        await peer.opened()
        for i in range(100):
            assert await peer.frame() == Frame(TEXT, b"message %d" % i)


@pytest.mark.parametrize("how", [Peer.reset, Peer.close, Peer.finish])
async def test_a_client_that_vanishes_at_any_byte(how: Callable[[Peer], None]) -> None:
    """Of one request, and of a second one behind it."""
    async with running(hello, IMPATIENT) as server:
        for sent in (upgrade(), request() + upgrade()):
            for end in range(len(sent) + 1):
                peer = await Peer.connect(server.address)
                await peer.send(sent[:end])
                how(peer)
                await server.emptied()
                peer.close()


async def test_a_client_that_leaves_before_the_answer() -> None:
    events: list[Event] = []
    connected, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(await receive())
        connected.set()
        events.append(await receive())
        with pytest.raises(OSError, match="1006"):
            await send(ACCEPT)
        left.set()

    async with running(app) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        await connected.wait()
        peer.reset()
        await left.wait()
        await server.emptied()
    assert events[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
