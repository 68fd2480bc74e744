"""The scope: field by field what uvicorn's own WebSocket makes of the same request."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.server.peer import KEY, Peer, upgrade
from tests.server.serving import Receive, Running, Scope, Send, running
from tests.server.tls import client_context, server_options

OURS = {"http": "fastws.server:HttpProtocol", "ws": "fastws.server:WebSocketProtocol"}
# uvicorn's HTTP may hand over to our WebSocket, too.
SHARED = {"http": "httptools", "ws": "fastws.server:WebSocketProtocol"}
THEIRS = {"http": "httptools", "ws": "websockets-sansio"}

REQUESTS: dict[str, bytes] = {
    "plain": upgrade("/ws"),
    "query": upgrade("/ws?a=b&c=%20%C3%A9+d&e"),
    "empty query": upgrade("/ws?"),
    "two question marks": upgrade("/ws?a?b"),
    "encoded path": upgrade("/a%20b/%C3%A9%2F%00/%zz/%ff"),
    "dots and slashes": upgrade("//a/../b/./c;d=e:f@g"),
    "fragment": upgrade("/a#b?c#d"),
    "headers": upgrade(
        headers=[
            (b"X-Mixed-CASE", b"Value"),
            (b"x-mixed-case", b"again"),
            (b"cookie", b"a=b; c=d"),
            (b"origin", b"https://example.com"),
            (b"x-empty", b""),
            (b"x-latin", b"\xe9"),
            (b"x-blanks", b" \t a\tb  "),
        ]
    ),
    "subprotocols": upgrade(
        headers=[(b"sec-websocket-protocol", b"a, b,c"), (b"sec-websocket-protocol", b"d ,e")]
    ),
    "proxied": upgrade(
        headers=[(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]
    ),
    "proxied twice": upgrade(
        headers=[(b"x-forwarded-for", b"1.2.3.4, 5.6.7.8"), (b"x-forwarded-proto", b"wss")]
    ),
    "proxied with nonsense": upgrade(
        headers=[(b"x-forwarded-for", b",,"), (b"x-forwarded-proto", b"ftp")]
    ),
}


async def scope_of(
    request: bytes, kinds: dict[str, Any], tls: ssl.SSLContext | None = None, **options: Any
) -> Scope:
    """Gives the scope that an app gets of a request."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})

    async with running(app, None, **options | kinds) as server:
        server.server.lifespan.state["started"] = [1, 2]
        if tls is None:
            peer = await Peer.connect(server.address)
            mine = peer.socket.getsockname()
            await peer.send(request)
            await peer.opened()
            peer.close()
        else:
            reader, writer = await asyncio.open_connection(*server.address, ssl=tls)
            mine = writer.get_extra_info("sockname")
            writer.write(request)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
        (scope,) = scopes
    return comparable(scope, server, mine)


def comparable(scope: Scope, server: Running, mine: Any) -> Scope:
    """Replaces what differs from connection to connection by what it must be."""
    scope = dict(scope)
    scope["extensions"] = dict(scope["extensions"])
    if scope["extensions"].pop("fastws", None) is not None:
        assert scope["state"] == {"started": [1, 2]}
        assert scope["state"] is not server.server.lifespan.state
    if scope["server"] == server.address:
        scope["server"] = "the server"
    if scope["client"] == mine:
        scope["client"] = "the client"
    return scope


async def compare(request: bytes, **options: Any) -> Scope:
    theirs = await scope_of(request, THEIRS, **options)
    for kinds in (OURS, SHARED):
        ours = await scope_of(request, kinds, **options)
        for field in theirs.keys() | ours.keys():
            assert ours[field] == theirs[field], field
            assert type(ours[field]) is type(theirs[field]), field
    return theirs


@pytest.mark.parametrize("name", REQUESTS)
async def test_as_uvicorn_makes_it(name: str) -> None:
    scope = await compare(REQUESTS[name])
    assert scope["server"] == "the server"
    assert scope["client"] == "the client" or name.startswith("proxied")
    assert (b"sec-websocket-key", KEY) in scope["headers"]


async def test_an_absolute_target() -> None:
    """RFC 9112 section 3.2.2 wants it to be accepted; uvicorn takes all of it for the path."""
    request = upgrade(line=b"GET http://example.com:80/a?b HTTP/1.1")
    scope = await scope_of(request, OURS)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a", b"/a", b"b")


@pytest.mark.parametrize("name", ["plain", "encoded path"])
async def test_with_a_root_path(name: str) -> None:
    scope = await compare(REQUESTS[name], root_path="/mounted/here")
    assert scope["path"].startswith("/mounted/here/")


@pytest.mark.parametrize("name", ["proxied", "proxied twice", "proxied with nonsense"])
@pytest.mark.parametrize("trusted", ["127.0.0.1", "*", "10.0.0.1"])
async def test_behind_a_proxy(name: str, trusted: str) -> None:
    """T21: who is not trusted is not believed."""
    scope = await compare(REQUESTS[name], forwarded_allow_ips=trusted)
    if trusted == "10.0.0.1":
        assert (scope["client"], scope["scheme"]) == ("the client", "ws")
    elif name == "proxied":
        assert (scope["client"], scope["scheme"]) == (("203.0.113.7", 0), "wss")


async def test_without_proxy_headers() -> None:
    scope = await compare(REQUESTS["proxied"], proxy_headers=False)
    assert (scope["client"], scope["scheme"]) == ("the client", "ws")


async def test_on_a_unix_socket(socket_path: Path) -> None:
    scope = await compare(REQUESTS["plain"], uds=str(socket_path))
    assert (scope["client"], scope["server"]) == (None, (str(socket_path), None))


async def test_over_tls() -> None:
    scope = await compare(REQUESTS["plain"], tls=client_context(), **server_options())
    assert scope["scheme"] == "wss"


async def test_two_connections_share_nothing() -> None:
    """Apps and middleware write into scopes (uvicorn #2976)."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})

    async with running(app) as server:
        for _ in range(2):
            peer = await Peer.connect(server.address)
            await peer.open("/ws?a")
            peer.close()
    one, other = scopes
    for field in ("asgi", "state", "extensions", "headers", "subprotocols"):
        assert one[field] is not other[field]
    one, other = one["extensions"], other["extensions"]
    assert one["websocket.http.response"] is not other["websocket.http.response"]
