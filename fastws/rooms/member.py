"""One connection as rooms see it, and what it gets while it is behind.

A member that keeps up has no outbox: what is published goes straight to its connection. One is
made when the connection takes no more; it is emptied as fast as the peer reads, and is gone
when it is empty. Nobody waits for it meanwhile but the member's own `Member.send`, which keeps
its place among what is published.

On our server the connection tells when it takes more. Elsewhere nobody does, so a task awaits
ASGI's ``send`` for one message after the other, for as long as there is an outbox.
"""

import asyncio
import logging
import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from fastws.limits import Limits
from fastws.rooms.counters import Counters
from fastws.rooms.gap import Gap
from fastws.rooms.outbox import POLICIES, Outbox, Policy
from fastws.rooms.position import RoomPosition

if TYPE_CHECKING:
    from fastws.rooms.rooms import Rooms

logger = logging.getLogger("fastws.rooms")

Event = dict[str, Any]
Send = Callable[[Event], Awaitable[None]]
NO_ROOMS: frozenset[str] = frozenset()


class Codec(Protocol):
    """How messages that are neither str nor bytes are written."""

    @property
    def subprotocol(self) -> str:
        """Its name, the same in all processes; codecs of one name write the same."""

    def encode(self, message: Any) -> str | bytes:
        """Gives the text, or the bytes, of a message."""

    def add_position(self, payload: str | bytes, position: RoomPosition) -> str | bytes:
        """Gives what `encode` has given, with one more field, ``position``."""


class Member:
    """One connection as rooms see it.

    Args:
        send: the ASGI ``send`` of the connection, which has been accepted.
        extension: what ``scope["extensions"]`` has under ``"fastws"``, if it has.
        codec: for messages that are neither str nor bytes.
        limits: `max_rooms`, `max_outbox_messages` and `max_outbox_size` count.
        policy: what happens when the outbox is full; see `Outbox`.
        close: called with a code and a reason to close the connection; must not wait. By
            default the close event is sent.
        hears_gaps: whether it gets a `Gap` when messages are lost, and `Joined` and `Left` of
            others, as its codec writes them; without a codec it never does.

    Attributes:
        id: tells it from all others, in all processes.
        rooms: the names of the rooms that it is in.
        outbox: what waits for it; None while it keeps up.
        ended: whether it is over, and can be in no room any more.
        home: whose rooms it is in, if it is in any.

    Raises:
        ValueError: there is no such policy.
    """

    __slots__ = (
        "__weakref__",
        "_close",
        "_connection",
        "_send",
        "_task",
        "_turn",
        "_turns",
        "codec",
        "ended",
        "hears_gaps",
        "home",
        "id",
        "limits",
        "outbox",
        "policy",
        "prepare",
        "publish",
        "rooms",
    )

    def __init__(
        self,
        send: Send,
        extension: Mapping[str, Any] | None = None,
        *,
        codec: Codec | None = None,
        limits: Limits | None = None,
        policy: Policy = "disconnect",
        close: Callable[[int, str], None] | None = None,
        hears_gaps: bool = True,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"{policy!r} is no policy; there are {', '.join(POLICIES)}")
        self.id = secrets.randbits(63)
        self.codec = codec
        self.limits = limits or Limits()
        self.policy = policy
        self.hears_gaps = hears_gaps and codec is not None
        self.rooms: AbstractSet[str] = NO_ROOMS
        self.outbox: Outbox | None = None
        self.ended = False
        self.home: Rooms | None = None
        self._send = send
        self._close = close
        self._task: asyncio.Task[None] | None = None
        # Own sends that wait while there is an outbox: after which position, and the future.
        self._turns: deque[tuple[int, asyncio.Future[None]]] | None = None
        self._turn: asyncio.Future[None] | None = None
        self._connection: Any = None if extension is None else extension["connection"]
        # How a message is prepared for all members like this one, and published to them.
        self.prepare: Callable[..., Any] = _as_it_is
        self.publish: Callable[..., list[Any]] = _all_are_behind
        if extension is not None:
            self.prepare, self.publish = extension["prepare"], extension["publish"]

    @property
    def place(self) -> Any:
        """What stands for it in what `publish` is given."""
        return self if self._connection is None else self._connection

    def enqueue(
        self, message: Any, size: int, key: str | None, counters: Counters, room: str = ""
    ) -> bool:
        """Has a message wait in the outbox, as the policy says.

        Returns:
            False if it does not fit and the member is to be closed.
        """
        if self.ended:
            return True
        if self.outbox is not None:
            return self.outbox.put(message, size, key, room)
        self.outbox = self._new_outbox(counters)
        if self._connection is None:
            # Which says nothing about whether it is behind.
            self.outbox.put_first(message, size, key, room)
            fits = True
        else:
            fits = self.outbox.put(message, size, key, room)
        self._go_on()
        return fits

    def miss(self, room: str, lost: int | None, counters: Counters) -> None:
        """Has a member that is behind be told that messages to a room did not come; see `Gap`."""
        if self.ended:
            return
        if self.outbox is not None:
            self.outbox.miss(room, lost)
            return
        self.outbox = self._new_outbox(counters)
        self.outbox.miss(room, lost)
        self._go_on()

    def _new_outbox(self, counters: Counters) -> Outbox:
        return Outbox(self.limits, self.policy, counters, self.hears_gaps)

    def _next(self, outbox: Outbox) -> Any:
        """Takes what is next out of the outbox, as it is sent."""
        message = outbox.take()
        if isinstance(message, Gap):
            assert self.codec is not None
            return self.prepare(self.codec.encode(message))
        return message

    async def send(self, event: Event) -> None:
        """Sends an ASGI event, behind what has been published before.

        Raises:
            OSError: what the server raises when the connection is over.
        """
        if self.outbox is None:
            await self._send(event)
        else:
            async with self._in_line(self.outbox):
                await self._send(event)

    async def flush(self) -> None:
        """Waits until what has been published before is sent, or it is over."""
        if self.outbox is not None:
            async with self._in_line(self.outbox):
                pass

    @asynccontextmanager
    async def _in_line(self, outbox: Outbox) -> AsyncIterator[None]:
        """Waits until all before is sent; what comes after waits until the block is done."""
        if self._turns is None:
            self._turns = deque()
        turn = asyncio.get_running_loop().create_future()
        self._turns.append((outbox.last, turn))
        try:
            await turn
            yield
        finally:
            if self._turn is turn:
                self._turn = None
                self._go_on()

    def close(self, code: int, reason: str) -> None:
        """Ends it and closes its connection, without waiting."""
        self.end()
        if self._close is None:
            self._run(self._send_close(code, reason))
        else:
            self._close(code, reason)

    def end(self) -> None:
        """Leaves all rooms and forgets what waits; to be called when the connection is over."""
        if self.ended:
            return
        self.ended = True
        if self.home is not None:
            self.home.leave_all(self)
        if self.outbox is not None:
            self.outbox.discard()
            self.outbox = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        # Those who wait to send meet what the server raises.
        for _, turn in self._turns or ():
            if not turn.done():
                turn.set_result(None)
        self._turns = None

    # Emptying the outbox.

    def _go_on(self) -> None:
        if self.outbox is None:
            return
        if self._connection is None:
            self._run(self._await_all(self.outbox))
        else:
            self._drain()

    def _drain(self) -> None:
        """Gives the connection what it takes; called again by it when it takes more."""
        connection, outbox = self._connection, self.outbox
        if outbox is None:
            return
        while not connection.blocked and self._turn is None:
            if self._let_own_go(outbox):
                break
            if not outbox:
                self.outbox = None
                connection.on_writable = None
                return
            if not connection.send_prepared(self._next(outbox)):
                outbox.lose()
                self.end()
                return
        connection.on_writable = self._drain

    async def _await_all(self, outbox: Outbox) -> None:
        """What a task does for a member on another server."""
        try:
            while not self._let_own_go(outbox) and outbox:
                payload = self._next(outbox)
                kind = "text" if isinstance(payload, str) else "bytes"
                try:
                    await self._send({"type": "websocket.send", kind: payload})
                except BaseException:
                    outbox.lose()
                    raise
            if self._turn is None:
                self.outbox = None
        except Exception as error:
            if not isinstance(error, OSError):
                logger.warning("a member ends: %r", error)
            self._task = None
            self.end()
        self._task = None

    def _let_own_go(self, outbox: Outbox) -> bool:
        """Lets the next of the own sends go, if it is its turn; tells whether it is."""
        while self._turns and not (outbox and outbox.first <= self._turns[0][0]):
            _, turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                self._turn = turn
                return True
        return False

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = _start(coroutine)
        if not task.done():
            self._task = task

    async def _send_close(self, code: int, reason: str) -> None:
        # The connection may be over already, or its app may have closed it.
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self._task = None


def _start(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Starts a task; where Python can, at once, since most servers' sends never wait."""
    if sys.version_info >= (3, 12):
        # Without a loop this raises AttributeError in 3.12 and 3.13.
        loop = asyncio.get_running_loop()
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return asyncio.create_task(coroutine)


def _as_it_is(payload: str | bytes) -> str | bytes:
    """Prepares a message for members on other servers."""
    return payload


def _all_are_behind(
    members: Mapping["Member", "Member"], message: str | bytes, exclude: "Member | None"
) -> list["Member"]:
    """Publishes to members on other servers: each has a task that sends to it."""
    return [member for member in members if member is not exclude]
