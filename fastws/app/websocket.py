"""One WebSocket as a handler has it: the request, messages both ways, rooms, one kind of end."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from fastws.app.admission import Admission
from fastws.app.exchange import Exchange, M
from fastws.app.handshake import PLAIN, State
from fastws.app.headers import Headers, parse_cookies
from fastws.app.messages import Codec
from fastws.app.portable import Receive, Scope, Send
from fastws.app.query import parse_query
from fastws.app.routes import name_of
from fastws.closing import CLOSINGS, CloseCode
from fastws.errors import BrokerUnavailable, Disconnected, HandshakeError, ProtocolError
from fastws.limits import Limits
from fastws.rooms import Member, Policy, Receipt, Resumed, RoomPosition, Rooms, present_id

T = TypeVar("T", bound=msgspec.Struct)

logger = logging.getLogger("fastws.app")


class WebSocket(Exchange[M]):
    """One WebSocket, in an `App` or in a bare ASGI app, on any server.

        async def app(scope, receive, send):
            async with WebSocket(scope, receive, send) as ws:
                await ws.accept()
                async for message in ws:
                    await ws.send(message)

    As a context manager it turns what ends the block into the end of the connection: a
    `HandshakeError` before the accept into its HTTP answer, a `ProtocolError` into its close
    code, any other exception into a log line and 1011; no exception is 1000. `Disconnected` is
    no error. Rooms are left, timers end.

    Attributes:
        path_params: what the path of the route matched.
        admission: counts users, if anything does.
        verified: what the token says, once `fastws.app.auth.JWT` has checked one.
        user: who it is, once `identify` was told.

    Args:
        codecs: the formats of the messages, the first for clients that do not choose.
        limits: what this connection may cost; None for what the server and the environment have.
        rooms: the rooms that it can join.
        policy: what becomes of messages to it that it does not read.
        clock: gives the seconds since 1970.

    Raises:
        ValueError: the scope is of something else, such as a page.
    """

    __slots__ = (
        "_clock",
        "_expires_at",
        "_expiry",
        "_headers",
        "_policy",
        "_rooms",
        "admission",
        "path_params",
        "user",
        "verified",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        codecs: Sequence[Codec] = (),
        limits: Limits | None = None,
        rooms: Rooms | None = None,
        policy: Policy = "disconnect",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(scope, receive, send, codecs, limits)
        self.path_params: dict[str, str] = {}
        self.admission: Admission | None = None
        self.verified: Any = None
        self.user: str | None = None
        self._rooms = rooms
        self._policy: Policy = policy
        self._headers: Headers | None = None
        self._clock = clock
        self._expires_at: float | None = None
        self._expiry: asyncio.TimerHandle | None = None

    # What the request says.

    @property
    def headers(self) -> Headers:
        """The headers of the request."""
        if self._headers is None:
            self._headers = Headers(self.scope["headers"])
        return self._headers

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies of the request."""
        return parse_cookies(self.headers)

    @property
    def client(self) -> tuple[str, int] | None:
        """The client's address and port; None on a unix socket."""
        client = self.scope.get("client")
        # granian gives the port as a str.
        return None if client is None else (client[0], int(client[1]))

    def query(self, kind: type[T]) -> T:
        """Reads the query string into a msgspec struct.

        Raises:
            HandshakeError: 400; its reason names the parameter that is missing or wrong.
        """
        return parse_query(self.scope["query_string"], kind)

    # Who it is.

    def identify(self, user: str) -> None:
        """Says whose connection this is, and counts it.

        Raises:
            HandshakeError: 429, there are ``max_connections_per_user``.
        """
        if self.user is not None:
            raise RuntimeError("this connection has a user already")
        if self.admission is not None:
            self.admission.enter(user)
        self.user = user

    def expire_at(self, when: float | None) -> None:
        """Closes the connection with 4401 at this time, unless it is called again before.

        Args:
            when: seconds since 1970; None for never.
        """
        self._expires_at = when
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if when is not None and self.state is State.OPEN:
            reason = CLOSINGS[CloseCode.TOKEN_EXPIRED].reason
            self._expiry = asyncio.get_running_loop().call_later(
                max(0.0, when - self._clock()), self.close_soon, CloseCode.TOKEN_EXPIRED, reason
            )

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Answers the handshake with 101; see `Handshake.accept`."""
        await super().accept(subprotocol, headers)
        # Most handlers look at the headers before, if at all; they take a kilobyte.
        self._headers = None
        self.expire_at(self._expires_at)

    # Rooms.

    @property
    def id(self) -> str:
        """What it is called where there is a presence, see `Present`; once it has joined a room."""
        if self._member is None:
            raise RuntimeError("it has not joined a room")
        return present_id(self._member.id)

    @property
    def rooms(self) -> frozenset[str]:
        """The names of the rooms that it is in."""
        return frozenset() if self._member is None else frozenset(self._member.rooms)

    def join(self, room: str, data: Any = None) -> None:
        """Lets the connection be in a room, until it leaves or ends.

        Args:
            room: the name of the room.
            data: what all may know of it, where the room has a presence: anything that msgspec
                can write as JSON. It stays the same until the room is left.

        Raises:
            ProtocolError: that is no name for a room, it is in ``max_rooms``, or shows more than
                ``max_presence_size``.
            Disconnected: the connection is over.
            ValueError: the room has no presence in which there are data.
        """
        self._need_rooms().join(self._as_member("join"), room, data)

    async def resume(self, position: RoomPosition, data: Any = None) -> Resumed:
        """Lets the connection be in a room again, and sends it what it has missed.

        The client gets a `Resumed`, all that was published to the room since, as fast as it
        reads, and from then on what is published; each message with its position, which the
        client gives when it comes back. What it had published before comes to it, too.

        Args:
            position: that of the last message that the client has; ``RoomPosition("lobby")`` if it
                has none.
            data: as in `join`.

        Raises:
            ProtocolError: as `join`, and for a room without a history; see `App`.
            BrokerUnavailable: Redis or NATS is out of reach; see `publish`.
            Disconnected: the connection is over.
            ValueError: as `join`.
        """
        member = self._as_member("resume")
        try:
            return await self._need_rooms().resume(member, position, data)
        except BrokerUnavailable:
            raise
        except (OSError, RuntimeError):
            # As of `Exchange.send`.
            raise Disconnected(*self._connection.closing()) from None

    def _as_member(self, what: str) -> Member:
        """Gives the connection as rooms see it."""
        self._expect_accepted(what)
        if self.state is State.CLOSED:
            raise Disconnected(*self._connection.closing())
        self._need_rooms()
        self._direct = False
        if self._member is None:
            self._member = Member(
                self._send if self._native else self._connection.send,
                self._native,
                codec=self.codec or PLAIN,
                limits=self._limits,
                policy=self._policy,
                close=self.close_soon,
                hears_gaps=self.codec is not None,
            )
        return self._member

    def leave(self, room: str) -> None:
        """Lets it be in a room no more; nothing happens if it is not."""
        if self._member is not None:
            self._need_rooms().leave(self._member, room)

    def publish(
        self, room: str, message: Any, *, key: str | None = None, message_id: str | None = None
    ) -> Awaitable[Receipt]:
        """Sends a message to all in a room but this connection; waits for none of them.

        Args:
            room: the name of the room.
            message: as in `send`; each member gets it in its own format.
            key: what the message is about, for members with the policy "latest-by-key".
            message_id: the second message with the same goes to nobody; see `Rooms.publish`.

        Returns:
            What the broker's engine says to it, which has it then.

        Raises:
            BrokerUnavailable: Redis or NATS is out of reach. Not caught, it ends the connection
                with 1013; others stay.
        """
        return self._need_rooms().publish(
            room, message, exclude=self._member, key=key, message_id=message_id
        )

    def _need_rooms(self) -> Rooms:
        if self._rooms is None:
            raise RuntimeError("there are no rooms to be in: WebSocket(..., rooms=Rooms())")
        return self._rooms

    # The end.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.expire_at(None)
        for room in self.rooms:
            self.leave(room)
        try:
            return await self._finish(error)
        finally:
            self.state = State.CLOSED
            self._leave()

    async def _finish(self, error: BaseException | None) -> bool:
        """Ends the connection as an exception says; tells whether that is dealt with."""
        if isinstance(error, GeneratorExit):
            return False  # in here nothing can be awaited
        error = _cause_of(error)
        if isinstance(error, BrokerUnavailable):
            logger.info("the handler for %s ends: %s", name_of(self.scope), error)
            error = self._try_again(error)
        with suppress(OSError):  # the client did not wait for what we had to say
            try:
                await self._end_for(error)
            except (TypeError, ValueError) as bug:
                # It cannot be said like that.
                await self._end_for(bug)
            await self._closed()
        return error is None or isinstance(error, Exception)

    def _try_again(self, error: BrokerUnavailable) -> Exception:
        """Gives what tells the client to come back later."""
        if self.state is State.CONNECTING:
            return HandshakeError(error.status, "try again later")
        return ProtocolError(error.code, CLOSINGS[CloseCode.TRY_AGAIN_LATER].reason)

    async def _end_for(self, error: BaseException | None) -> None:
        match error:
            case None if self.state is State.CONNECTING:
                logger.error(
                    "the handler for %s has not answered the handshake", name_of(self.scope)
                )
                await self.deny(500, "internal error")
            case None:
                await self.close()
            case Disconnected():
                pass
            case HandshakeError() if self.state is State.CONNECTING:
                await self.deny(error.status, error.reason, error.headers, **error.fields)
            case HandshakeError():
                await self.close(CloseCode.POLICY_VIOLATION, error.reason)
            case ProtocolError() if self.state is State.CONNECTING:
                await self.deny(403, error.reason)
            case ProtocolError():
                await self.close(error.code, error.reason)
            case Exception():
                logger.error("the handler for %s failed", name_of(self.scope), exc_info=error)
                if self.state is State.CONNECTING:
                    await self.deny(500, "internal error")
                self.close_soon(CloseCode.INTERNAL_ERROR, "internal error")
            case _:
                # Cancelled, by a server that shuts down or by the app itself.
                if self.state is State.CONNECTING:
                    await self.deny(503, "going away")
                self.close_soon(CloseCode.GOING_AWAY)

    def _leave(self) -> None:
        """Gives back what others count, and lets go of what holds on to this."""
        if self._member is not None:
            self._member.end()
            self._member = None
        if self._events is not None:
            self._events.finish()
        if self.user is not None and self.admission is not None:
            self.admission.leave(self.user)


def _cause_of(error: BaseException | None) -> BaseException | None:
    """Gives the one exception of a task group that says how to end, if there is one.

    Where several tasks use a connection, its end is an exception in each of them.
    """
    while isinstance(error, ExceptionGroup):
        _, others = error.split(Disconnected)
        if others is None:
            return Disconnected()
        if len(others.exceptions) > 1:
            break
        error = others.exceptions[0]
    return error
