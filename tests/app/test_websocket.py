"""What a handler does with its WebSocket, on our server and on plain uvicorn."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from fastws.app.app import App
from fastws.app.events import Binary, Close, Ping, Pong, SocketEvent, Text
from fastws.app.messages import JsonCodec, Message, MessagePackCodec
from fastws.app.websocket import WebSocket
from fastws.errors import Disconnected, HandshakeError, ProtocolError
from fastws.limits import Limits
from tests.app.conftest import Run, connect
from tests.server.peer import BINARY, PING, PONG, Peer, close, connected, frame, text, upgrade
from tests.server.serving import until

Socket = WebSocket[Any]
Handler = Callable[[Socket], Awaitable[Any]]


class Chat(Message):
    content: str


class Join(Message):
    room: str


class Said(Message):
    user: str
    content: str


class Served:
    """An app with one handler; what that returns or raises is in `outcomes`."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        self.app = App()
        self.outcomes: list[Any] = []

        @self.app.websocket("/ws", **options)
        async def run(ws: Socket) -> None:
            try:
                self.outcomes.append(await handler(ws))
            except Exception as error:
                self.outcomes.append(error)
                raise

    async def outcome(self) -> Any:
        """Waits for the handler's end."""
        await until(lambda: self.outcomes)
        return self.outcomes.pop()


async def said(ws: Any) -> Any:
    """Receives JSON."""
    return msgspec.json.decode(await ws.recv(timeout=5))


async def end_of(ws: Any) -> tuple[int, str]:
    async for _ in ws:
        pass
    with pytest.raises(Disconnected) as caught:
        await ws.recv(timeout=5)
    return caught.value.code, caught.value.reason


async def echo(ws: Socket) -> None:
    await ws.accept()
    async for message in ws:
        await ws.send(message)


# The request and the answer.


async def test_the_request(run: Run) -> None:
    class Params(msgspec.Struct):
        n: int

    async def tell(ws: Socket) -> None:
        assert ws.client is not None
        assert ws.client[0] == "127.0.0.1"
        params = ws.query(Params)
        await ws.accept(headers=[(b"x-answer", b"1")])
        await ws.send_json([ws.headers["x-a"], ws.cookies["c"], params.n])

    served = Served(tell)
    async with run(served.app) as server:
        headers = {"X-A": "b", "Cookie": "c=d"}
        with pytest.raises(HandshakeError):  # cookies, and no Origin
            async with connect(server, "/ws?n=1", headers=headers):
                pass
        headers["Origin"] = "http://{}:{}".format(*server.address)
        async with connect(server, "/ws?n=1", headers=headers) as ws:
            assert await said(ws) == ["b", "d", 1]
            assert (b"x-answer", b"1") in ws.response_headers
        with pytest.raises(HandshakeError) as refused:
            async with connect(server, "/ws?n=x", headers=headers):
                pass
        assert refused.value.status == 400
        assert msgspec.json.decode(refused.value.body)["parameter"] == "n"


async def test_a_page_is_no_websocket() -> None:
    async def receive() -> dict[str, Any]:
        return {}

    async def send(event: Any) -> None:
        pass

    with pytest.raises(ValueError, match="not of 'http'"):
        WebSocket({"type": "http", "extensions": {"fastws": {}}}, receive, send)


async def test_what_comes_too_early_or_twice_is_a_bug(run: Run) -> None:
    async def act(ws: Socket) -> None:
        with pytest.raises(RuntimeError, match=r"send\(\) before accept"):
            await ws.send("x")
        with pytest.raises(RuntimeError, match=r"receive\(\) before accept"):
            await ws.receive()
        with pytest.raises(RuntimeError, match=r"join\(\) before accept"):
            ws.join("a")
        await ws.accept()
        with pytest.raises(RuntimeError, match=r"accept\(\) after accept"):
            await ws.accept()
        with pytest.raises(RuntimeError, match=r"deny\(\) after accept"):
            await ws.deny(403, "no")

    served = Served(act)
    async with run(served.app) as server, connect(server) as ws:
        assert await end_of(ws) == (1000, "")
    assert await served.outcome() is None


async def test_closing_before_the_accept_is_403(run: Run) -> None:
    served = Served(lambda ws: ws.close(reason="not you"))
    async with run(served.app) as server:
        with pytest.raises(HandshakeError) as refused:
            async with connect(server):
                pass
    assert refused.value.status == 403
    assert msgspec.json.decode(refused.value.body) == {"status": 403, "detail": "not you"}


# Formats.


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["other"], None),
        (["json"], "json"),
        (["msgpack", "json"], "msgpack"),
        (["other", "msgpack"], "msgpack"),
    ],
)
async def test_the_client_chooses_the_format(
    offered: list[str], chosen: str | None, run: Run
) -> None:
    served = Served(echo, messages=Chat | Join)
    async with run(served.app) as server, connect(server, subprotocols=offered) as ws:
        assert ws.subprotocol == chosen
        codec = (MessagePackCodec if chosen == "msgpack" else JsonCodec)(Chat | Join)
        await ws.send(codec.encode(Join("é")))
        assert codec.decode(await ws.recv(timeout=5)) == Join("é")


async def test_the_handler_may_choose_the_subprotocol(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept("mine")
        await ws.send(Chat("hi"))

    served = Served(act, messages=Chat)
    offered = ["msgpack", "mine"]
    async with run(served.app) as server, connect(server, subprotocols=offered) as ws:
        assert ws.subprotocol == "mine"
        assert await said(ws) == {"type": "Chat", "content": "hi"}


async def test_what_can_be_sent(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        for message in ("é", b"\0", bytearray(b"\1"), memoryview(b"\2"), Chat("x"), [1]):
            await ws.send(message)
        await ws.send_json({"é": None})

    served = Served(act)
    async with run(served.app) as server, connect(server) as ws:
        found = [await ws.recv(timeout=5) for _ in range(7)]
    chat = '{"type":"Chat","content":"x"}'
    assert found == ["é", b"\0", b"\1", b"\2", chat, "[1]", '{"é":null}']


# Receiving.


async def test_plain_messages(run: Run) -> None:
    served = Served(echo)
    async with run(served.app) as server, connect(server) as ws:
        for message in ("é", "", b"", b"\xff", "x" * 100_000):
            await ws.send(message)
            assert await ws.recv(timeout=5) == message


async def test_the_end_while_receiving(run: Run) -> None:
    async def act(ws: Socket) -> Any:
        await ws.accept()
        assert await ws.receive() == "a"
        with pytest.raises(Disconnected) as first:
            await ws.receive()
        async for _ in ws:
            raise AssertionError("it is over")
        with pytest.raises(Disconnected) as second:
            await ws.send("x")
        await ws.close()
        await ws.close()
        return [(e.value.code, e.value.reason, e.value.clean) for e in (first, second)]

    served = Served(act)
    async with run(served.app) as server, connected(server.address) as peer:
        await peer.send(text("a"), close(4001, "bye"))
        assert await served.outcome() == [(4001, "bye", True)] * 2


async def test_a_loop_that_is_left_loses_nothing(run: Run) -> None:
    async def act(ws: Socket) -> list[Any]:
        await ws.accept()
        taken = []
        async for message in ws:
            taken.append(message)
            break
        taken.append(await ws.receive())
        async for message in ws:
            taken.append(message)
            break
        async for event in ws.events():
            taken.append(event)
            break
        taken += [message async for message in ws]
        return taken

    served = Served(act)
    async with run(served.app) as server, connected(server.address) as peer:
        await peer.send(*(text(str(i)) for i in range(6)), close(1000))
        assert await served.outcome() == ["0", "1", "2", Text("3"), "4", "5"]


@pytest.mark.parametrize(
    ("sent", "code", "path"),
    [
        ('{"type":"Zap"}', "unknown_type", "$.type"),
        ('{"type":"Chat"}', None, "$.content"),
        ('{"type":"Chat","content":1}', None, "$.content"),
        ('{"type":', None, "$"),
        ("[" * 100_000, None, "$"),
        (b'{"type":"Chat","content":"a"}', "malformed", "$"),
        ("", None, "$"),
    ],
)
async def test_a_bad_message_is_answered(sent: Any, code: str | None, path: str, run: Run) -> None:
    served = Served(echo, messages=Chat | Join)
    async with run(served.app) as server, connect(server) as ws:
        await ws.send(sent)
        answer = await said(ws)
        assert answer["type"] == "Error"
        assert answer["path"] == path
        assert code in (None, answer["code"])
        await ws.send('{"type":"Chat","content":"still here"}')
        assert (await said(ws))["content"] == "still here"


async def test_text_where_messages_are_binary(run: Run) -> None:
    served = Served(echo, messages=Chat | Join)
    async with run(served.app) as server, connect(server, subprotocols=["msgpack"]) as ws:
        await ws.send("x")
        answer = msgspec.msgpack.decode(await ws.recv(timeout=5))
        assert (answer["type"], answer["code"]) == ("Error", "malformed")


async def test_too_many_bad_messages_in_a_row(run: Run) -> None:
    served = Served(echo, messages=Chat, limits=Limits(max_bad_messages=3))
    async with run(served.app) as server, connect(server) as ws:
        for sent in ("bad", "bad", '{"type":"Chat","content":"good"}', "bad", "bad"):
            await ws.send(sent)
            await ws.recv(timeout=5)
        await ws.send("bad")
        assert await end_of(ws) == (1008, "3 messages in a row could not be read")
    assert isinstance(await served.outcome(), ProtocolError)


async def test_answers_that_nobody_reads_do_not_grow(run: Run, server_kind: str) -> None:
    if server_kind != "fastws":
        return  # whose send() waits for the client
    limits = Limits(max_bad_messages=None, max_unsent=64 * 1024)
    served = Served(echo, messages=Chat, limits=limits)
    async with (
        run(served.app) as server,
        connected(server.address, receive_buffer=4096) as peer,
    ):
        flood = text("bad") * 1000
        await until(lambda: served.outcomes or peer.send_some(flood) < 0)
        assert served.outcomes == [None]


async def test_messages_that_come_too_fast(run: Run) -> None:
    served = Served(echo, limits=Limits(max_message_rate=5))
    async with run(served.app) as server, connect(server) as ws:
        for _ in range(10):
            await ws.send("x")
            await ws.recv(timeout=5)
        for _ in range(5):
            await ws.send("x")
        assert await end_of(ws) == (1008, "over 5 messages in a second")


async def test_messages_that_are_too_large(run: Run) -> None:
    served = Served(echo, limits=Limits(max_message_size=10))
    async with run(served.app) as server, connect(server) as ws:
        await ws.send("é" * 5)
        assert await ws.recv(timeout=5) == "é" * 5
        await ws.send("é" * 6)
        assert (await end_of(ws))[0] == 1009


# Everything that a client does.


async def test_events(run: Run, server_kind: str) -> None:
    async def act(ws: Socket) -> list[SocketEvent]:
        await ws.accept()
        await ws.send("ready")
        return [event async for event in ws.events()]

    served = Served(act)
    async with run(served.app) as server, connected(server.address) as peer:
        await until(lambda: server.connections)
        assert (await peer.frame()).payload == b"ready"
        sent = [text("é"), frame(PING, b"?"), frame(BINARY, b"\0"), frame(PONG, b"!")]
        await peer.send(*sent, close(1001, "off"))
        control = {Ping(b"?"), Pong(b"!")} if server_kind == "fastws" else set()
        expected = [Text("é"), Ping(b"?"), Binary(b"\0"), Pong(b"!"), Close(1001, "off")]
        found = [e for e in expected if e in control or not isinstance(e, Ping | Pong)]
        assert await served.outcome() == found
        assert (await peer.frame()).opcode == PONG


async def test_pings(run: Run, server_kind: str) -> None:
    async def act(ws: Socket) -> Any:
        await ws.accept()
        assert ws.rtt == 0
        assert ws.buffered == 0
        if server_kind == "fastws":
            return await ws.ping(), ws.rtt
        with pytest.raises(NotImplementedError):
            await ws.ping()
        return None

    served = Served(act)
    async with run(served.app) as server, connect(server) as ws:
        await end_of(ws)
        outcome = await served.outcome()
    assert outcome is None or outcome[0] == outcome[1] > 0


# Expiry.


async def test_a_token_that_expires(run: Run) -> None:
    async def act(ws: Socket) -> None:
        ws.expire_at(time.time() + 3600)
        await ws.accept()
        ws.expire_at(time.time() - 1)
        await ws.receive()

    served = Served(act)
    async with run(served.app) as server, connect(server) as ws:
        assert await end_of(ws) == (4401, "token expired")
    assert isinstance(await served.outcome(), Disconnected)


async def test_a_token_that_expires_before_the_accept(run: Run) -> None:
    async def act(ws: Socket) -> None:
        ws.expire_at(time.time() - 1)
        await ws.accept()
        await ws.receive()

    served = Served(act)
    async with run(served.app) as server, connect(server) as ws:
        assert (await end_of(ws))[0] == 4401


async def test_a_token_that_is_renewed_or_gone(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        ws.expire_at(time.time() - 1)
        ws.expire_at(None)
        await ws.send(await ws.receive())

    served = Served(act)
    async with run(served.app) as server, connect(server) as ws:
        await ws.send("still here")
        assert await ws.recv(timeout=5) == "still here"


# Rooms and users.


async def test_everyone_in_a_room_but_who_speaks_in_each_ones_format(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        async for message in ws:
            match message:
                case Join(room):
                    ws.join(room)
                    await ws.send(message)
                case Chat(content):
                    for room in ws.rooms:
                        await ws.publish(room, Said("ada", content))
                    await ws.send(Said("self", "done"))

    served = Served(act, messages=Chat | Join)
    async with (
        run(served.app) as server,
        connect(server) as one,
        connect(server) as two,
        connect(server, subprotocols=["msgpack"]) as three,
    ):
        join, chat = JsonCodec(Join).encode(Join("a")), JsonCodec(Chat).encode(Chat("hi"))
        for ws in (one, two):
            await ws.send(join)
            await ws.recv(timeout=5)
        await three.send(MessagePackCodec(Join).encode(Join("a")))
        await three.recv(timeout=5)
        await one.send(chat)
        expected = {"type": "Said", "user": "ada", "content": "hi"}
        assert await said(two) == expected
        assert msgspec.msgpack.decode(await three.recv(timeout=5)) == expected
        assert (await said(one))["user"] == "self"


async def test_rooms_that_are_left_and_too_many(run: Run) -> None:
    async def act(ws: Socket) -> None:
        await ws.accept()
        for room in "abc":
            ws.join(room)
            ws.leave(room)
        ws.leave("never in")
        assert ws.rooms == frozenset()
        for room in "abc":
            ws.join(room)

    served = Served(act, limits=Limits(max_rooms=2))
    async with run(served.app) as server, connect(server) as ws:
        assert (await end_of(ws))[0] == 1008


async def test_too_many_connections_of_one_user(run: Run) -> None:
    async def act(ws: Socket) -> None:
        ws.identify("ada")
        with pytest.raises(RuntimeError):
            ws.identify("bob")
        await ws.accept()
        await ws.send("in")
        await ws.receive()

    served = Served(act, limits=Limits(max_connections_per_user=1))
    async with run(served.app) as server:
        async with connect(server) as ws:
            await ws.recv(timeout=5)
            with pytest.raises(HandshakeError) as refused:
                async with connect(server):
                    pass
            assert refused.value.status == 429
        await server.emptied()
        async with connect(server) as ws:
            assert await ws.recv(timeout=5) == "in"


# Without an App.


async def test_in_a_bare_asgi_app(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ws: Socket = WebSocket(scope, receive, send)
        async with ws:
            if scope["path"] == "/refuse":
                raise HandshakeError(410, "gone")
            await ws.accept()
            with pytest.raises(RuntimeError, match="no rooms"):
                ws.join("a")
            async for message in ws:
                await ws.send(message)
                raise ProtocolError(4000, "enough")

    async with run(app) as server:
        async with connect(server) as ws:
            await ws.send("x")
            assert await ws.recv(timeout=5) == "x"
            assert await end_of(ws) == (4000, "enough")
        with pytest.raises(HandshakeError) as refused:
            async with connect(server, "/refuse"):
                pass
        assert refused.value.status == 410
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_client_that_leaves_before_the_accept(run: Run) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def act(ws: Socket) -> None:
        arrived.set()
        await go.wait()
        await ws.accept()
        await ws.receive()

    served = Served(act)
    async with run(served.app) as server:
        peer = await Peer.connect(server.address)
        await peer.send(upgrade())
        await arrived.wait()
        peer.reset()
        await until(lambda: not server.connections)
        go.set()
        assert isinstance(await served.outcome(), Disconnected)
