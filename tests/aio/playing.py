"""Apps that act once they have accepted, and a peer that sends in turns with one."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio.lowlevel

from tests.server.peer import PING, PONG, Frame, connected, frame
from tests.server.serving import ACCEPT, App, Receive, Running, Scope, Script, Send, running


def acting(act: Callable[[Any, Receive, Send], Awaitable[Any]]) -> App:
    """Make an app that accepts, and then acts with its connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await act(scope["extensions"]["fastws"]["connection"], receive, send)

    return app


async def play(act: Any, *chunks: bytes) -> Any:
    """Gives what an app returns that is sent these chunks, each once it waits for a message."""

    async def app(receive: Receive, send: Send) -> Any:
        await receive()
        await send(ACCEPT)
        return await act(receive, send)

    script = Script(app)
    async with running(script) as server, connected(server.address) as peer:
        for chunk in chunks:
            await parked(server)
            await peer.send(chunk)
            if chunk != chunks[-1]:
                # Once the answer is there, the app has been resumed.
                await peer.send(frame(PING))
                assert await peer.frame() == Frame(PONG, b"")
        return await script.outcome


async def parked(server: Running) -> None:
    """Waits until the app waits for something."""
    while True:
        await anyio.lowlevel.checkpoint()
        (task,) = server.tasks
        waiter: Any = task._fut_waiter  # type: ignore[attr-defined]
        if waiter is not None and not waiter.done():
            return
