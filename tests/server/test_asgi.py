"""The table of what an app may send when (ASGI 2.4), and how a handshake is answered."""

import asyncio
from typing import Any

import pytest

from fastws.errors import ClientDisconnected
from fastws.limits import KIB, Limits
from tests.server.peer import CLOSE, TEXT, Frame, connected, tcp, text, upgrade
from tests.server.serving import ACCEPT, Event, Receive, Script, Send, running

EVENTS: dict[str, Event] = {
    "accept": ACCEPT,
    "send": {"type": "websocket.send", "text": "x"},
    "close": {"type": "websocket.close"},
    "start": {"type": "websocket.http.response.start", "status": 401},
    "body": {"type": "websocket.http.response.body", "body": b"no"},
    "an event of HTTP": {"type": "http.response.start", "status": 200},
    "an unknown event": {"type": "websocket.nonsense"},
}

# What brings an app to a stage, and what it may send there.
STAGES: dict[str, tuple[list[str], list[str]]] = {
    "connecting": ([], ["accept", "close", "start"]),
    "open": (["accept"], ["send", "close"]),
    "denying": (["start"], ["body"]),
    "closed": (["accept", "close"], []),
    "refused": (["close"], []),
    "denied": (["start", "body"], []),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_wrong_event_raises_out_of_the_await(stage: str) -> None:
    way, allowed = STAGES[stage]

    async def act(receive: Receive, send: Send) -> None:
        await receive()
        for name in way:
            await send(EVENTS[name])
        for name in EVENTS.keys() - set(allowed):
            sending = send(EVENTS[name])
            with pytest.raises(RuntimeError, match=EVENTS[name]["type"]):
                await sending
        # And nothing has come of it.
        if allowed:
            await send(EVENTS[allowed[0]])

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        await script.outcome
        status = (await peer.head()).status
        assert status == {"connecting": 101, "open": 101, "closed": 101, "refused": 403}.get(
            stage, 401
        )


BROKEN: dict[str, tuple[Any, type[Exception]]] = {
    "no type": ({}, KeyError),
    "not a dict": (None, TypeError),
    "nothing to send": ({"type": "websocket.send"}, TypeError),
    "None to send": ({"type": "websocket.send", "bytes": None, "text": None}, TypeError),
    "bytes as text": ({"type": "websocket.send", "text": b"x"}, TypeError),
    "str as bytes": ({"type": "websocket.send", "bytes": "x"}, TypeError),
    "int as bytes": ({"type": "websocket.send", "bytes": 5}, TypeError),
    "list as bytes": ({"type": "websocket.send", "bytes": [1, 2]}, TypeError),
    "not contiguous": ({"type": "websocket.send", "bytes": memoryview(b"1234")[::2]}, TypeError),
    "surrogate": ({"type": "websocket.send", "text": "\ud800"}, UnicodeEncodeError),
    "code 1005": ({"type": "websocket.close", "code": 1006}, ValueError),
    "code 999": ({"type": "websocket.close", "code": 999}, ValueError),
    "code 5000": ({"type": "websocket.close", "code": 5000}, ValueError),
    "code 2**70": ({"type": "websocket.close", "code": 2**70}, OverflowError),
    "code as str": ({"type": "websocket.close", "code": "1000"}, TypeError),
    "reason as bytes": ({"type": "websocket.close", "reason": b"x"}, TypeError),
}


async def test_a_broken_event_raises_and_changes_nothing() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for name, (event, kind) in BROKEN.items():
            sending = send(event)
            with pytest.raises(kind):
                await sending
            await send({"type": "websocket.send", "text": name})
        await send({"type": "websocket.close", "code": 3000, "reason": "done", "extra": "ignored"})

    script = Script(act)
    async with running(script) as server, connected(server.address) as peer:
        await script.outcome
        for name in BROKEN:
            assert await peer.frame() == Frame(TEXT, name.encode())
        assert await peer.closed() == (3000, "done")


@pytest.mark.parametrize(
    "event",
    [
        {"headers": [(b"x\r\n", b"y")]},
        {"headers": [(b"x y", b"z")]},
        {"headers": [(b"", b"z")]},
        {"headers": [(b"x", b"y\r\nset-cookie: a=b")]},
        {"headers": [(b"x", b"y\nz")]},
        {"headers": [(b"x", b"y\0")]},
        {"headers": [("x", "y")]},
        {"headers": [(b"sec-websocket-protocol", b"offered\r\nx: y")]},
        {"subprotocol": "offered\r\nx: y"},
        {"subprotocol": "other"},
        {"subprotocol": b"offered"},
        {"subprotocol": ""},
        {"fastws": {"limits": Limits(max_queue_messages=2**70)}},
        {"fastws": {"limits": "none"}},
    ],
)
async def test_a_broken_accept_raises_and_may_be_repeated(event: Event) -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        accepting = send(ACCEPT | event)
        with pytest.raises((RuntimeError, ValueError, TypeError, OverflowError, AttributeError)):
            await accepting
        await send(ACCEPT)
        assert (await receive())["text"] == "x"

    script = Script(act)
    offer = [(b"sec-websocket-protocol", b"offered")]
    async with running(script) as server, connected(server.address, "/ws", offer) as peer:
        await peer.send(text("x"))
        await script.outcome


@pytest.mark.parametrize("broken", [[(b"x", b"y\r\nz: z")], [("x", "y")], [(b"x y", b"")]])
async def test_a_broken_denial_raises(broken: Any) -> None:
    async def act(receive: Receive, send: Send) -> None:
        with pytest.raises((ValueError, TypeError)):  # noqa: PT012
            await send(EVENTS["start"] | {"headers": broken})
            await send(EVENTS["body"])
        raise ZeroDivisionError

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        with pytest.raises(ZeroDivisionError):
            await script.outcome
        # The app has returned without an answer.
        assert (await peer.refused())[0] == 500


@pytest.mark.parametrize("status", [99, 101, 199, 600, "200"])
async def test_a_denial_has_a_status(status: Any) -> None:
    async def act(receive: Receive, send: Send) -> None:
        with pytest.raises((RuntimeError, TypeError)):
            await send(EVENTS["start"] | {"status": status})
        await send({"type": "websocket.close"})

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        await script.outcome
        assert (await peer.refused())[0] == 403


async def test_accept_says_what_the_app_wants() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"X-One", b"1"), (b"x-two", b"\xe9"), (b"x-one", b"again")]
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": headers})

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade(headers=[(b"sec-websocket-protocol", b"a, b")]))
        head = await peer.opened()
        assert head.get(b"sec-websocket-protocol") == b"b"
        assert head.get(b"x-two") == b"\xe9"
        assert [value for name, value in head.headers if name == b"x-one"] == [b"1", b"again"]
        assert head.get(b"upgrade") == b"websocket"
        assert head.get(b"connection") == b"Upgrade"
        assert head.get(b"date")
        assert head.get(b"server") == b"uvicorn"


async def test_a_subprotocol_may_be_a_header() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT | {"headers": [(b"Sec-WebSocket-Protocol", b"a")]})

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade(headers=[(b"sec-websocket-protocol", b"a, b")]))
        assert (await peer.opened()).get(b"sec-websocket-protocol") == b"a"


# Denials.


async def test_close_before_accept_is_a_403() -> None:
    async def act(receive: Receive, send: Send) -> Event:
        assert (await receive()) == {"type": "websocket.connect"}
        await send({"type": "websocket.close", "code": 4000, "reason": "not for the client"})
        return await receive()

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        assert await peer.refused() == (403, b"")
        event = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        assert await script.outcome == event
        peer.close()
        await server.emptied()


@pytest.mark.parametrize("body", [b"", b"who are you?", b"\xff\xfe\0\r\n\r\n", b"x" * 300_000])
async def test_a_denial_in_one_piece(body: bytes) -> None:
    headers = [(b"WWW-Authenticate", b"Bearer"), (b"x", b"\xe9"), (b"connection", b"keep-alive")]

    async def act(receive: Receive, send: Send) -> Event:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
        return await receive()

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        head = await peer.head()
        assert (head.status, head.get(b"www-authenticate")) == (401, b"Bearer")
        assert head.get(b"x") == b"\xe9"
        assert head.get(b"connection") == b"close"
        assert head.get(b"date")
        assert head.get(b"content-length") == b"%d" % len(body)
        assert await peer.rest() == body
        assert (await script.outcome)["code"] == 1006


async def test_a_denial_in_pieces() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 503, "headers": ()})
        for piece in (b"one ", b"", b"two"):
            await send(EVENTS["body"] | {"body": piece, "more_body": True})
        await send({"type": "websocket.http.response.body"})

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        head = await peer.head()
        # The end of TCP ends it (RFC 9112 section 6.3).
        assert (head.status, head.get(b"connection")) == (503, b"close")
        assert head.get(b"content-length") is None
        assert await peer.rest() == b"one two"


async def test_a_denial_waits_for_a_slow_client() -> None:
    piece, count = b"x" * 64 * KIB, 256
    peaks: list[int] = []

    async def act(receive: Receive, send: Send) -> None:
        (connection,) = server.connections
        await send(EVENTS["start"])
        for i in range(count):
            await send(EVENTS["body"] | {"body": piece, "more_body": i < count - 1})
            peaks.append(connection.write_buffer_size)  # type: ignore[union-attr]

    script = Script(act)
    async with (
        running(script, Limits(max_write_buffer=64 * KIB)) as server,
        tcp(server.address, receive_buffer=4096) as peer,
    ):
        await peer.send(upgrade())
        assert (await peer.head()).status == 401
        assert len(await peer.rest()) == len(piece) * count
        await script.outcome
        assert max(peaks) <= 64 * KIB + len(piece) + 1 * KIB


async def test_a_client_that_does_not_read_its_denial_is_let_go() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send(EVENTS["start"])
        await send(EVENTS["body"] | {"body": b"x" * 8_000_000})

    script = Script(act)
    async with (
        running(script, Limits(close_timeout=0.05)) as server,
        tcp(server.address, receive_buffer=4096) as peer,
    ):
        await peer.send(upgrade())
        await server.emptied()


@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_an_unfinished_denial_is_ended(sent: int) -> None:
    async def act(receive: Receive, send: Send) -> None:
        for event in (EVENTS["start"], EVENTS["body"] | {"body": b"x" * 8_000_000})[:sent]:
            await send(event | {"more_body": True})

    script = Script(act)
    async with (
        running(script, Limits(close_timeout=0.05)) as server,
        tcp(server.address, receive_buffer=4096) as peer,
    ):
        await peer.send(upgrade())
        if sent < 2:
            assert (await peer.refused())[0] == 500
        await server.emptied()


async def test_send_after_the_client_has_left_a_denial() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send(EVENTS["start"])
        with pytest.raises(OSError, match="1006"):  # noqa: PT012
            while True:
                await send(EVENTS["body"] | {"more_body": True})
                await asyncio.sleep(0)

    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        await peer.head()
        peer.reset()
        await script.outcome
        await server.emptied()


async def test_the_end_of_a_denial_after_the_client_has_left() -> None:
    """Its reset is not read yet; nobody is told of what the system says to the end of TCP."""

    async def act(receive: Receive, send: Send) -> None:
        await send(EVENTS["start"])
        await send(EVENTS["body"] | {"more_body": True})
        await going_on.wait()
        await send(EVENTS["body"] | {"body": b""})

    going_on = asyncio.Event()
    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade())
        assert (await peer.head()).status == 401
        peer.reset()
        going_on.set()
        await asyncio.wait([script.outcome])
        assert type(script.outcome.exception()) in (type(None), ClientDisconnected)
        await server.emptied()


async def test_what_follows_a_denial_is_not_looked_at() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send(EVENTS["start"])
        await send(EVENTS["body"] | {"more_body": True})
        await going_on.wait()
        await send(EVENTS["body"])

    going_on = asyncio.Event()
    script = Script(act)
    async with running(script) as server, tcp(server.address) as peer:
        await peer.send(upgrade(), text("x") * 100)
        assert (await peer.head()).status == 401
        await peer.send(text("x") * 100, bytes([0x80 | CLOSE, 0x80, 0, 0, 0, 0]))
        going_on.set()
        assert await peer.rest() == b"nono"
