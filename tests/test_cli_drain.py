"""`fastws drain PID`."""

import asyncio
import signal
import sys
from collections.abc import Callable

import pytest

from tests.processes import Process, Server
from tests.server.peer import close, connected

APP = "tests.server.crew:app"

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)


@pytest.fixture
def drain(spawn: Callable[..., Process]) -> Callable[..., Process]:
    def start(*options: str) -> Process:
        return spawn(sys.executable, "-m", "fastws", "drain", *options)

    return start


@pytest.mark.parametrize("options", [[], ["--workers", "2"]])
async def test_it_waits_until_the_server_has_gone(
    serve: Callable[..., Server], drain: Callable[..., Process], options: list[str]
) -> None:
    server = serve(APP, *options)
    async with connected((server.host, server.port)) as peer:
        draining = drain(str(server.pid))
        await peer.restarted()
        await asyncio.to_thread(draining.wait_for, f"^fastws: {server.pid} drains$")
        assert "ended" not in draining.output
        await peer.send(close(1012))
        assert await peer.rest() == b""
    assert await asyncio.to_thread(draining.wait) == 0
    assert f"{server.pid} has ended after " in draining.output
    assert await asyncio.to_thread(server.wait) == (0 if options else -signal.SIGTERM)


async def test_it_does_not_wait_longer_than_told(
    serve: Callable[..., Server], drain: Callable[..., Process]
) -> None:
    server = serve(APP, "--close-timeout", "600")
    async with connected((server.host, server.port)) as peer:
        draining = drain(str(server.pid), "--timeout", "0.1")
        await peer.restarted()
        assert await asyncio.to_thread(draining.wait) == 1
        assert f"fastws: {server.pid} has not ended within 0.1 s" in draining.output


async def test_only_a_server_is_told(
    spawn: Callable[..., Process], drain: Callable[..., Process]
) -> None:
    other = spawn("sleep", "600")
    draining = drain(str(other.pid))
    assert await asyncio.to_thread(draining.wait) == 1
    assert draining.output == f"fastws: process {other.pid} is no `fastws run`\n"
    other.kill()
    draining = drain(str(other.pid))
    assert await asyncio.to_thread(draining.wait) == 1
    assert draining.output.startswith(f"fastws: there is no process {other.pid}")
