"""Servers for the client: our own with an app for it, and one that does what a test says."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.client.peer import Peer, Play, Script
from tests.processes import PATIENCE, Server


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """Our server with `tests.client.app`, for all tests of this folder."""
    server = Server(sys.executable, "-m", "fastws", "run", "tests.client.app:app", "--port=0")
    yield server
    server.kill()


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    """Serves every connection with a script; gives the address to connect to.

    The test fails if a script does, or if one does not come to its end.
    """
    scripts: list[asyncio.Task[None]] = []
    servers: list[asyncio.Server] = []

    async def start(script: Script) -> str:
        async def run(peer: Peer) -> None:
            try:
                await script(peer)
            finally:
                peer.writer.close()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            scripts.append(asyncio.create_task(run(Peer(reader, writer))))

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        servers.append(server)
        host, port = server.sockets[0].getsockname()
        return f"ws://{host}:{port}/"

    yield start
    for server in servers:
        server.close()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*scripts)
