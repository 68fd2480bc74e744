"""A token as a subprotocol, the only way of browsers, by everybody's clients."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.app.tokens import signed
from tests.interop.clients import CLIENTS, Client, Target
from tests.processes import PATIENCE, Server

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
@pytest.mark.parametrize("control", [False, True], ids=["fastws", "uvicorn"])
async def test_a_token_as_a_subprotocol(
    serve: Callable[..., Server], client: Client, control: bool
) -> None:
    server = serve("tests.app.private:app", uvicorn=control)
    offered = ("bearer", signed(exp=time.time() + 600))
    target = Target(server.url(), subprotocols=offered)
    async with asyncio.timeout(PATIENCE), client.connect(target) as peer:
        assert peer.subprotocol == "bearer"
        await peer.send("hi")
        assert await peer.receive() == "ada: hi"
