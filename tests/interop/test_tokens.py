"""A token as a subprotocol, the only way of browsers, by everybody's clients."""

import asyncio
import sys
import time
from collections.abc import Iterator

import pytest

from tests.app.tokens import signed
from tests.interop.clients import CLIENTS, Client, Target
from tests.processes import PATIENCE, Server

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)


COMMANDS = {"fastws": ["fastws", "run"], "uvicorn": ["uvicorn"]}


@pytest.fixture(scope="module", params=["fastws", pytest.param("uvicorn", marks=pytest.mark.deep)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    command = COMMANDS[request.param]
    server = Server(sys.executable, "-m", *command, "tests.app.private:app", "--port", "0")
    yield server
    server.kill()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_token_as_a_subprotocol(server: Server, client: Client) -> None:
    offered = ("bearer", signed(exp=time.time() + 600))
    target = Target(server.url(), subprotocols=offered)
    async with asyncio.timeout(PATIENCE), client.connect(target) as peer:
        assert peer.subprotocol == "bearer"
        await peer.send("hi")
        assert await peer.receive() == "ada: hi"
