"""Behind a real nginx: what it passes on, what it must not be led to pass on (T21, T22)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastws.limits import MIB
from tests.nginx import NGINX, nginx
from tests.server.peer import (
    BINARY,
    TEXT,
    Address,
    Frame,
    close,
    connected,
    frame,
    tcp,
    text,
    upgrade,
)
from tests.server.serving import (
    ACCEPT,
    App,
    Receive,
    Running,
    Scope,
    Script,
    Send,
    echo,
    hello,
    running,
)
from tests.server.test_refusals import REFUSED

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx")


@asynccontextmanager
async def proxied(app: App, directory: Path) -> AsyncIterator[tuple[Running, Address]]:
    """Serves an app on a unix socket behind nginx."""
    path = directory / "sock"
    async with running(app, uds=str(path), forwarded_allow_ips="*") as server:
        with nginx(path, directory) as address:
            yield server, address


@pytest.fixture
def directory(socket_path: Path) -> Path:
    return socket_path.parent


async def test_messages_and_the_close_pass(directory: Path) -> None:
    async with proxied(echo, directory) as (_, address), connected(address) as peer:
        for sent in (text("x"), frame(BINARY, b"x" * MIB), frame(BINARY)):
            await peer.send(sent)
            found = await peer.frame()
            assert frame(*found[:2]) == sent
        await peer.send(close(4000, "bye"))
        assert await peer.closed() == (4000, "")
        assert await peer.rest() == b""


async def test_frames_right_behind_the_request_pass(directory: Path) -> None:
    async with proxied(echo, directory) as (_, address), tcp(address) as peer:
        await peer.send(upgrade(), text("one"), text("two"))
        await peer.opened()
        assert await peer.frame() == Frame(TEXT, b"one")
        assert await peer.frame() == Frame(TEXT, b"two")


@pytest.mark.parametrize("forged", [b"1.2.3.4", b"1.2.3.4, 5.6.7.8", b"unix:", b""])
async def test_a_client_cannot_choose_its_address(forged: bytes, directory: Path) -> None:
    """T21: the README's configuration overwrites what a client says of where it came from."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    headers = [(b"x-forwarded-for", forged), (b"x-forwarded-proto", b"https")]
    async with proxied(app, directory) as (_, address), connected(address, "/ws", headers):
        (scope,) = scopes
        assert scope["client"][0] == "127.0.0.1"
        assert scope["scheme"] == "ws"


async def test_nothing_behind_a_refused_upgrade_is_tunnelled(directory: Path) -> None:
    """T22: of some requests nginx makes good ones; all others it refuses, or we do.

    If one was accepted, what is behind it is no frame; if not, it is a request of its own.
    """
    calls: list[tuple[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append((scope["type"], scope["path"]))
        await hello(scope, receive, send)

    behind = b"GET /behind HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with proxied(app, directory) as (server, address):
        for name, (_, request) in REFUSED.items():
            calls.clear()
            async with tcp(address) as peer:
                await peer.send(request, behind)
                answer = await peer.gone()
            await server.emptied()
            if ("websocket", "/ws") in calls:
                assert len(calls) == 1, name
                assert answer.endswith(b"\x03\xeaa frame is not masked"), name
            else:
                assert {kind for kind, _ in calls} <= {"http"}, name
                assert b" 101 " not in answer, name


async def test_a_refusal_passes(directory: Path) -> None:
    async with proxied(hello, directory) as (_, address), tcp(address) as peer:
        await peer.send(upgrade(headers=[(b"sec-websocket-version", b"12")]))
        head = await peer.head()
        assert (head.status, head.get(b"sec-websocket-version")) == (426, b"13")


async def test_a_client_that_vanishes(directory: Path) -> None:
    async def act(receive: Receive, send: Send) -> int:
        await receive()
        await send(ACCEPT)
        while (event := await receive())["type"] == "websocket.receive":
            pass
        code: int = event["code"]
        return code

    script = Script(act)
    async with proxied(script, directory) as (server, address):
        async with connected(address) as peer:
            await peer.send(text("xyz")[:-1])
            peer.reset()
        assert await script.outcome == 1006
        await server.emptied()


async def test_a_shutdown_tells_clients_of_a_proxy(directory: Path) -> None:
    async with proxied(echo, directory) as (server, address), connected(address) as peer:
        ending = server.shut_down()
        await peer.restarted()
        await peer.send(close(1012))
        assert await peer.rest() == b""
        await ending
