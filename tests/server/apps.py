"""An app for servers in processes of their own."""

import asyncio

from fastws.examples.echo import app as example
from tests.server.serving import ACCEPT, Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Does what the path says; what it does not know, the example does."""
    act = {"/flood": flood, "/sleep": sleep, "/ignore": ignore}.get(scope.get("path", ""))
    if scope["type"] != "websocket" or act is None:
        await example(scope, receive, send)
        return
    await receive()
    await send(ACCEPT)
    await act(receive, send)


async def flood(receive: Receive, send: Send) -> None:
    """Sends as much as the client takes."""
    while True:
        await send({"type": "websocket.send", "bytes": b"x" * 16_384})


async def sleep(receive: Receive, send: Send) -> None:
    """Receives nothing, and only notices when it is cancelled."""
    await asyncio.Event().wait()


async def ignore(receive: Receive, send: Send) -> None:
    """Receives everything, and answers nothing."""
    while (await receive())["type"] == "websocket.receive":
        pass
