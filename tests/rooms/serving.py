"""An app with rooms on real servers, in the event loop of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastws.limits import Limits
from fastws.rooms import Member, Rooms
from tests.interop.serving import KINDS
from tests.server.peer import CLOSE, Peer, connected
from tests.server.serving import ACCEPT, Receive, Running, Scope, Send, running, until

SMALL = 4096  # buffers of the kernel, so that little makes a member slow


class Hall:
    """An app that lets everybody into the room "room".

    Attributes:
        rooms: all rooms.
        members: those who have come, in their order.
        server: where it runs.
        act: what a member's handler does with what it receives.
    """

    server: Running

    def __init__(self, *, hidden: bool, options: dict[str, Any]) -> None:
        self.rooms = Rooms()
        self.members: list[Member] = []
        self.hidden = hidden
        self.options = options
        self.act: Callable[[Member, Any], Any] = self.publish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        extension = None if self.hidden else scope["extensions"].get("fastws")
        member = Member(send, extension, **self.options)
        self.members.append(member)
        try:
            self.rooms.join(member, "room")
            while (event := await receive())["type"] == "websocket.receive":
                await self.act(member, event.get("text") or event["bytes"])
        finally:
            member.end()

    async def publish(self, member: Member, message: Any) -> None:
        """Publishes what a member has said to all others."""
        await self.rooms.publish("room", message, exclude=member)

    @asynccontextmanager
    async def enter(
        self, *, path: str = "/", headers: Any = (), receive_buffer: int | None = None
    ) -> AsyncIterator[tuple[Peer, Member]]:
        """Opens a connection; gives the peer and its member, once that has joined."""
        count = len(self.members)
        address = self.server.address
        async with connected(address, path, headers, receive_buffer=receive_buffer) as peer:
            await until(lambda: len(self.members) > count)
            yield peer, self.members[count]

    @asynccontextmanager
    async def enter_slowly(self) -> AsyncIterator[tuple[Peer, Member]]:
        """Opens a connection that little is enough to block, as nobody reads."""
        before = set(self.server.connections)
        async with self.enter(receive_buffer=SMALL) as (peer, member):
            (protocol,) = self.server.connections - before
            sock = protocol.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
            yield peer, member


@asynccontextmanager
async def hall(
    kind: str = "fastws", *, silence: float | None = None, **options: Any
) -> AsyncIterator[Hall]:
    """Serves a `Hall`; the options are those of its members.

    Args:
        kind: "hidden" is our server, of which members do not know.
        silence: seconds after which a silent peer is pinged, and again until it is dead.
    """
    app = Hall(hidden=kind == "hidden", options=options)
    limits = Limits(ping_interval=silence, ping_timeout=silence, close_timeout=0.2)
    settings: dict[str, Any] = {**KINDS["uvicorn" if kind == "uvicorn" else "fastws"]}
    settings |= {"ws_ping_interval": silence, "ws_ping_timeout": silence}
    async with running(app, limits, **settings) as app.server:
        yield app


@asynccontextmanager
async def crowd(hall: Hall, count: int) -> AsyncIterator[list[Peer]]:
    """Lets some more come in."""
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(hall.enter()))[0] for _ in range(count)]


async def payloads(peer: Peer, count: int) -> list[bytes]:
    """Receives so many messages."""
    return [(await peer.frame()).payload for _ in range(count)]


async def all_payloads(peer: Peer) -> tuple[list[bytes], tuple[int, str] | None]:
    """Receives all until the connection ends; gives messages, and the close frame if one came."""
    found: list[bytes] = []
    try:
        while (frame := await peer.frame()).opcode != CLOSE:
            found.append(frame.payload)
    except (EOFError, ConnectionError):
        return found, None
    return found, frame.closing()


async def turns(count: int = 5) -> None:
    """Lets the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)
