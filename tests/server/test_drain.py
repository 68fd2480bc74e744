"""What `fastws run` does between a signal and its end."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.processes import Server
from tests.server.peer import (
    TEXT,
    Frame,
    Peer,
    close,
    connected,
    request,
    tcp,
    upgrade,
)

Serve = Callable[..., Server]

APP = "tests.server.farewell:app"
# Of the peers; the server has its own loop.
pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)


def address(server: Server) -> tuple[str, int]:
    return server.host, server.port


async def get(server: Server, path: str) -> tuple[int, bytes]:
    """Gives status and body of a page, after which TCP is over."""
    async with tcp(address(server)) as peer:
        await peer.send(request().replace(b" / ", f" {path} ".encode()))
        head = await peer.head()
        assert head.get(b"connection") == b"close"
        return head.status, await peer.rest()


async def ended(server: Server, signum: int = signal.SIGTERM) -> None:
    assert await asyncio.to_thread(server.wait) == -signum
    assert "Application shutdown complete" in server.output
    assert "shutdown exceeded" not in server.output


async def leave(peer: Peer) -> None:
    await peer.send(close(1012))
    assert await peer.rest() == b""


async def told(peer: Peer) -> None:
    """Receives what the app has to say first, and then the end."""
    assert await peer.frame() == Frame(TEXT, b"ready: False")
    await peer.restarted()


async def test_whoever_comes_meanwhile_is_told(serve: Serve) -> None:
    server = serve(APP)
    # It is held open by a client that has not answered yet.
    async with tcp(address(server)) as early, connected(address(server)) as last:
        os.kill(server.pid, signal.SIGTERM)
        await told(last)
        assert await get(server, "/readyz") == (503, b"not ready\n")
        assert await get(server, "/healthz") == (200, b"ok\n")
        async with tcp(address(server)) as late:
            for peer in (early, late):
                await peer.send(upgrade())
                head = await peer.head()
                assert head.status == 503
                assert head.get(b"retry-after") == b"1"
                assert head.get(b"connection") == b"close"
                assert await peer.rest() == b"restarting"
        await leave(last)
    await ended(server)
    with pytest.raises(ConnectionRefusedError):
        await Peer.connect(address(server))


@pytest.fixture
def hangups() -> Iterator[None]:
    """Has children take SIGHUP, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_each_signal_begins_it(serve: Serve, signum: signal.Signals) -> None:
    server = serve(APP)
    async with connected(address(server)) as peer:
        os.kill(server.pid, signum)
        await told(peer)
        await leave(peer)
    # An interrupted program has done what it was asked to.
    code = {signal.SIGINT: 0}.get(signum, -signum)
    assert await asyncio.to_thread(server.wait) == code
    assert "Application shutdown complete" in server.output


async def test_a_second_signal_ends_it_at_once(serve: Serve) -> None:
    server = serve(APP, "--close-timeout", "600")
    async with connected(address(server)) as peer:
        os.kill(server.pid, signal.SIGTERM)
        await told(peer)
        assert await asyncio.to_thread(server.stop) == -signal.SIGTERM
        await peer.gone()


async def test_a_second_signal_does_not_wait_for_the_app(serve: Serve) -> None:
    server = serve(APP, "--drain-window", "600", env={"FAREWELL": "never ends"})
    async with connected(address(server)) as peer:
        os.kill(server.pid, signal.SIGTERM)
        await asyncio.to_thread(server.wait_for, "Draining 1 connections")
        assert await asyncio.to_thread(server.stop) == -signal.SIGTERM
        await peer.gone()


async def test_a_hook_that_fails_ends_nothing_but_itself(serve: Serve) -> None:
    server = serve(APP, env={"FAREWELL": "fails"})
    async with connected(address(server)) as peer:
        os.kill(server.pid, signal.SIGTERM)
        await peer.restarted()
        assert (await get(server, "/readyz"))[0] == 503
        await leave(peer)
    await ended(server)
    assert "on_drain failed" in server.output
    assert "RuntimeError: no farewell" in server.output


async def test_a_hook_has_the_window_and_no_longer(serve: Serve) -> None:
    server = serve(APP, "--drain-window", "0.2", env={"FAREWELL": "never ends"})
    async with connected(address(server)) as peer:
        os.kill(server.pid, signal.SIGTERM)
        await peer.restarted()
        await leave(peer)
    await ended(server)
    assert "on_drain has not ended within drain_window" in server.output


async def test_a_request_in_flight_comes_to_its_end(serve: Serve) -> None:
    server = serve(APP)
    async with connected(address(server)) as last, tcp(address(server)) as busy:
        await busy.send(request().replace(b" / ", b" /slow "))
        await asyncio.to_thread(server.wait_for, "^slow")
        os.kill(server.pid, signal.SIGTERM)
        await told(last)
        assert await get(server, "/release") == (200, b"ok")
        assert (await busy.head()).status == 200
        assert await busy.rest() == b"done"
        await leave(last)
    await ended(server)


async def test_a_handshake_that_waits_for_the_app_is_refused(serve: Serve) -> None:
    server = serve(APP)
    async with tcp(address(server)) as peer:
        await peer.send(upgrade("/undecided"))
        await asyncio.to_thread(server.wait_for, "^undecided")
        os.kill(server.pid, signal.SIGTERM)
        head = await peer.head()
        assert (head.status, head.get(b"retry-after")) == (503, b"1")
        assert await peer.rest() == b"restarting"


async def test_nobody_holds_it_up(serve: Serve) -> None:
    """Among those who leave as they should, some who never read, or never answer."""
    server = serve("tests.server.apps:app", "--drain-window", "0.5", "--close-timeout", "0.5")
    async with AsyncExitStack() as stack:

        async def several(count: int, path: str) -> list[Peer]:
            peers = [connected(address(server), path, receive_buffer=4096) for _ in range(count)]
            return [await stack.enter_async_context(peer) for peer in peers]

        await several(10, "/flood")
        await several(10, "/ignore")
        good = await several(80, "/ws")
        os.kill(server.pid, signal.SIGTERM)
        for peer in good:
            await peer.restarted()
            await leave(peer)
        await ended(server)
    assert "Traceback" not in server.output
