"""The programs of the examples, each through a real server: what their docstrings promise."""

import asyncio
import re
import time
from typing import Any

import jwt
import msgspec
import pytest

import fastws
from fastws.errors import Disconnected, HandshakeError
from fastws.examples import auth, echo, heartbeat, json_messages, message_types, query, rooms
from fastws.server import WebSocketProtocol
from tests.server.peer import BINARY, CLOSE, PING, PONG, close, connected, frame, text
from tests.server.serving import Running, running


def connect(server: Running, path: str, **options: Any) -> Any:
    return fastws.connect("ws://{}:{}{}".format(*server.address, path), **options)


async def test_echo() -> None:
    async with running(echo.app) as server, connect(server, "/ws") as ws:
        for message in ("é", b"\0", ""):
            await ws.send(message)
            assert await ws.recv(timeout=5) == message


async def test_query() -> None:
    async with running(query.app) as server:
        async with connect(server, "/connect?user_id=7&name=Ada&tag=a&tag=b") as ws:
            assert await ws.recv(timeout=5) == "Hello, Ada (user 7)"
            await ws.send("hi")
            assert await ws.recv(timeout=5) == "hi"
        for path, wrong in (
            ("/connect", "user_id"),
            ("/connect?user_id=seven&name=Ada", "user_id"),
            ("/connect?user_id=0&name=Ada", "user_id"),
            ("/connect?user_id=7&name=", "name"),
        ):
            with pytest.raises(HandshakeError) as refused:
                async with connect(server, path):
                    pass
            body = msgspec.json.decode(refused.value.body)
            assert (refused.value.status, body["parameter"]) == (400, wrong)


async def test_message_types(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "uvicorn.error")
    async with running(message_types.app) as server:
        async with connected(server.address, "/types") as peer:
            sent = [text("hi"), frame(BINARY, b"\1\2"), frame(PING, b"?"), frame(PONG)]
            await peer.send(*sent, close(1001, "bye"))
            found = [await peer.frame() for _ in range(6)]
        await server.emptied()
    assert [f.payload for f in found if f.opcode not in (PONG, CLOSE)] == [
        b"You said: hi",
        b"\1\2",
        b"Ping of 1 bytes, answered",
        b"Pong received",
    ]
    assert [f.payload for f in found if f.opcode == PONG] == [b"?"]
    assert "closed: 1001 'bye'" in caplog.messages


async def test_rooms() -> None:
    async with (
        running(rooms.app) as server,
        connect(server, "/rooms/a") as ada,
        connect(server, "/rooms/a") as bob,
        connect(server, "/rooms/b") as eve,
    ):
        while rooms.app.rooms.count("a") < 2 or not rooms.app.rooms.count("b"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await ada.send("to a")
        assert await bob.recv(timeout=5) == "to a"
        await bob.send(b"back")
        # The first that she gets: not her own, and nothing for another room.
        assert await ada.recv(timeout=5) == b"back"
        await eve.close()
    assert rooms.app.rooms.names() == []


async def test_heartbeat() -> None:
    async with running(heartbeat.app) as server, connect(server, "/heartbeat") as ws:
        await ws.send("?")
        assert re.fullmatch(r'\{"rtt":[\d.e-]+\}', await ws.recv(timeout=5))
        (protocol,) = server.connections
        assert isinstance(protocol, WebSocketProtocol)
        limits = protocol.connection.limits
        assert (limits.ping_interval, limits.ping_timeout) == (30, 10)


async def test_json_messages() -> None:
    path = "/messages"
    async with (
        running(json_messages.app) as server,
        connect(server, path) as ada,
        connect(server, path, subprotocols=["msgpack"]) as bob,
    ):
        join = {"type": "Join", "room": "a"}
        await bob.send(msgspec.msgpack.encode(join))
        while not json_messages.app.rooms.count("a"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await ada.send(msgspec.json.encode(join).decode())
        await ada.send('{"type": "Chat", "content": "hi"}')
        expected = {"type": "Chat", "content": "hi"}
        assert msgspec.msgpack.decode(await bob.recv(timeout=5)) == expected
        await ada.send('{"type": "Chat", "content": 1}')
        answer = msgspec.json.decode(await ada.recv(timeout=5))
        assert (answer["type"], answer["path"]) == ("Error", "$.content")
        await ada.send('{"type": "Leave", "room": "a"}')
        await bob.send(msgspec.msgpack.encode({"type": "Chat", "content": "gone?"}))
        await ada.send("bad")
        assert msgspec.json.decode(await ada.recv(timeout=5))["type"] == "Error"


def token(lifetime: float = 60, **claims: Any) -> str:
    payload = {"sub": "ada", "exp": time.time() + lifetime, **claims}
    return jwt.encode(payload, auth.SECRET, algorithm="HS256")


async def test_auth() -> None:
    async with running(auth.app) as server:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}):
            with pytest.raises(HandshakeError) as refused:
                async with connect(server, "/private", headers=headers):
                    pass
            assert refused.value.status == 401
            assert dict(refused.value.headers)[b"www-authenticate"].startswith(b"Bearer")
        headers = {"Authorization": f"Bearer {token()}"}
        async with connect(server, "/private", headers=headers) as ws:
            await ws.send('{"type": "Say", "content": "hi"}')
            assert await ws.recv(timeout=5) == '{"type":"Say","content":"ada: hi"}'
        async with connect(server, "/private", subprotocols=["bearer", token()]) as ws:
            assert ws.subprotocol == "bearer"
            renewed = {"type": "Refresh", "token": token(role="admin")}
            await ws.send(msgspec.json.encode(renewed).decode())
            await ws.send('{"type": "Say", "content": "still"}')
            assert "ada: still" in await ws.recv(timeout=5)
            stolen = {"type": "Refresh", "token": token(sub="eve")}
            await ws.send(msgspec.json.encode(stolen).decode())
            with pytest.raises(Disconnected) as ended:
                await ws.recv(timeout=5)
        assert ended.value.code == 4401
        async with connect(server, "/private", subprotocols=["bearer", token(0.5)]) as ws:
            with pytest.raises(Disconnected) as ended:
                await ws.recv(timeout=5)
        assert (ended.value.code, ended.value.reason) == (4401, "token expired")
