"""What the apps do: one program for each behaviour, the same in every framework."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from tests.interop.stage import Stage

PROTOCOLS = ("chat.v2", "chat.v1")  # the app's, the best first
TICKS = 50


class Boom(Exception):
    """A fault of an app."""


class Socket(Protocol):
    """A framework's WebSocket, as far as the programs need it.

    Attributes:
        scope: the ASGI scope.
        gone: what the framework raises in a handler whose peer has gone.
        closing: code and reason of the peer's close, if the framework tells.
        seen: what the framework's own request object says: the path's last segment, the
            query parameter ``q``, and the header ``x-test``.
    """

    scope: dict[str, Any]
    gone: type[BaseException]
    closing: tuple[int, str] | None
    seen: tuple[str | None, str | None, str | None]

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None: ...
    async def receive(self) -> str | bytes: ...
    async def send(self, data: str | bytes) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...
    async def refuse(self) -> None: ...
    async def respond(self, status: int, headers: dict[str, str], body: str) -> None: ...


Program = Callable[[Any], Coroutine[Any, Any, None]]


async def echo(ws: Socket) -> None:
    """Sends back what comes."""
    offered = ws.scope["subprotocols"]
    await ws.accept(next((name for name in PROTOCOLS if name in offered), None))
    await echo_all(ws)


async def echo_all(ws: Socket) -> None:
    """Sends back what comes, until the peer goes."""
    try:
        while True:
            await ws.send(await ws.receive())
    except ws.gone:
        pass


async def describe(ws: Socket) -> None:
    """Reports the scope, and what the framework makes of it."""
    Stage.of(ws.scope).report((dict(ws.scope), ws.seen))
    await ws.accept(headers=[("x-one", "1"), ("x-two", "a"), ("x-two", "b")])
    await ws.close(1000, "")


async def refuse(ws: Socket) -> None:
    """Closes before the accept."""
    await ws.refuse()


async def respond(ws: Socket) -> None:
    """Answers with a whole HTTP response in place of the accept."""
    await ws.respond(418, {"x-pot": "tea"}, "short and stout")


async def close(ws: Socket) -> None:
    """Closes with a code of its own after a message."""
    await ws.accept()
    await ws.receive()
    await ws.close(4001, "bye, ünïcode")


async def watch(ws: Socket) -> None:
    """Reports how the peer went."""
    await ws.accept()
    await ws.send("ready")
    try:
        await ws.receive()
    except ws.gone:
        Stage.of(ws.scope).report(ws.closing)


async def late(ws: Socket) -> None:
    """Sends after it was told that the peer has gone, and reports what that raised."""
    await ws.accept()
    try:
        await ws.receive()
    except ws.gone:
        try:
            await ws.send("too late")
        except Exception as error:
            Stage.of(ws.scope).report(error)


async def deaf(ws: Socket) -> None:
    """Only sends, until that raises; reports what it raised."""
    await ws.accept()
    try:
        while True:
            await ws.send("tick")
            await asyncio.sleep(0)
    except (Exception, asyncio.CancelledError) as error:
        Stage.of(ws.scope).report(error)


async def fail(ws: Socket) -> None:
    """Has a fault after the accept."""
    await ws.accept()
    await ws.receive()
    raise Boom


async def fail_early(ws: Socket) -> None:
    """Has a fault before the accept."""
    raise Boom


async def leave(ws: Socket) -> None:
    """Returns without a close."""
    await ws.accept()
    await ws.receive()


async def push(ws: Socket) -> None:
    """Sends ticks from a task in the background while it echoes."""

    async def ticker() -> None:
        for tick in range(TICKS):
            await ws.send(f"tick {tick}")
            await asyncio.sleep(0)

    await ws.accept()
    task = asyncio.create_task(ticker())
    await echo_all(ws)
    await task


async def busy(ws: Socket) -> None:
    """Does something else for as long as the test wants, and does not receive meanwhile."""
    stage = Stage.of(ws.scope)
    await ws.accept()
    stage.report("busy")
    await stage.cue()
    await echo_all(ws)


async def ping(ws: Socket) -> None:
    """Pings, which takes our server, and tells how long the pong took."""
    await ws.accept()
    while True:
        try:
            await ws.receive()
        except ws.gone:
            break
        await ws.send(str(await ws.scope["extensions"]["fastws"]["connection"].ping()))


async def state(ws: Socket) -> None:
    """Sends what the lifespan put into the state, and then spoils its own copy."""
    await ws.accept()
    await ws.send(ws.scope["state"]["greeting"])
    ws.scope["state"]["greeting"] = "spoilt"
    await ws.close(1000, "")


PROGRAMS: dict[str, Program] = {
    program.__name__: program
    for program in (
        echo,
        describe,
        refuse,
        respond,
        close,
        watch,
        late,
        deaf,
        fail,
        fail_early,
        leave,
        push,
        busy,
        ping,
        state,
    )
}
