"""A WebSocket client that calls an ASGI app itself: no socket, no server, no frames."""

import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from fastws.app.headers import Headers
from fastws.errors import Disconnected
from fastws.testing.call import App, Scope
from fastws.testing.clock import Clock
from fastws.testing.scopes import CLIENT, Address, websocket_scope
from fastws.testing.waiting import PATIENCE, patience, settle
from fastws.testing.websocket import Stage, WebSocketCall, check_closing
from fastws.wire.opening import Headers as AnyHeaders

T = TypeVar("T")


@asynccontextmanager
async def connect(
    app: App,
    target: str = "/",
    *,
    headers: AnyHeaders | None = None,
    subprotocols: Sequence[str] = (),
    client: Address | None = CLIENT,
    timeout: float = PATIENCE,
) -> AsyncIterator["Client"]:
    """Opens a WebSocket to an app, in this event loop.

        async with connect(app, "/chat?name=Ada") as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

    Leaving the block closes the connection and waits for the app to end, so that nothing that
    goes wrong stays unseen. Startup and shutdown of the app are up to `lifespan`.

    Args:
        app: any ASGI app.
        target: path and query, percent-encoded as they would be on the wire.
        headers: more headers for the request; a Host header replaces ``localhost``.
        subprotocols: what to offer, in the order of preference.
        client: address and port that the app sees.
        timeout: seconds that each wait for the app takes at most, unless told otherwise.

    Raises:
        ValueError: a client could not send such a request.
        HandshakeError: the app refused; status, headers and body are those of its response.
        TimeoutError: the app did not answer, or did not end; says where it is.
        Exception: what the app raised.
        AssertionError: the app did what no server puts up with.
    """
    call = WebSocketCall(app, websocket_scope(target, headers, subprotocols, client), timeout)
    ws = Client(call)
    try:
        await _opened(call)
        yield ws
    except BaseException as error:
        _note(error, call, target)
        call.leave(1006, "")
        await call.cancel()
        raise
    await ws.close()


async def _opened(call: WebSocketCall) -> None:
    def answered() -> bool:
        return call.stage is Stage.OPEN or call.closed is not None

    await call.until(answered, "an answer to the handshake")
    if call.denial is not None:
        await call.finish()
        raise call.denial


def _note(error: BaseException, call: WebSocketCall, target: str) -> None:
    """Tells with what a test has failed what else went wrong; it may be the cause."""
    fault = call.fault()
    if fault is not None and fault is not error:
        error.add_note(f"Meanwhile, at {target}:\n{''.join(traceback.format_exception(fault))}")


class Client:
    """The client's side of a WebSocket; `connect` makes it."""

    def __init__(self, call: WebSocketCall) -> None:
        self._call = call

    @property
    def scope(self) -> Scope:
        """What the app was called with."""
        return self._call.scope

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app chose, if any."""
        return self._call.subprotocol

    @property
    def response_headers(self) -> Headers:
        """The headers that the app accepted with; names in any case."""
        return Headers(self._call.headers)

    @property
    def closed(self) -> tuple[int, str] | None:
        """How the connection ended, as (code, reason); None until it has."""
        return self._call.closed

    async def send(self, message: Any) -> None:
        """Sends a message, and does not wait for the app to take it.

            await ws.send("text")
            await ws.send(b"bytes")
            await ws.send(Chat(content="hi"))

        Args:
            message: a str, bytes, or anything that msgspec encodes: as JSON in a text message,
                or, with the subprotocol ``msgpack``, as MessagePack in a binary one.

        Raises:
            Disconnected: the connection is over.
        """
        if self.closed is not None:
            raise self._disconnected()
        if isinstance(message, bytes | bytearray | memoryview):
            payload: str | bytes = bytes(message)
        elif isinstance(message, str):
            payload = message
        elif self.subprotocol == "msgpack":
            payload = msgspec.msgpack.encode(message)
        else:
            payload = msgspec.json.encode(message).decode()
        kind = "text" if isinstance(payload, str) else "bytes"
        self._call.tell({"type": "websocket.receive", kind: payload})

    async def recv(self, timeout: float | None = None) -> str | bytes:
        """Receives the next message: text as str, binary as bytes.

            assert await ws.recv() == "hello"

        Raises:
            Disconnected: the connection is over, and all its messages are received.
            TimeoutError: no message came in time; says where the app is.
            Exception: what the app raised.
        """
        await self._news("a message", timeout)
        if not self._call.messages:
            raise self._disconnected()
        return self._call.take()

    async def expect(self, kind: type[T], timeout: float | None = None) -> T:
        """Receives the next message, which has to be of a type, and decodes it.

            said = await ws.expect(Said)
            assert said.user == "Ada"

        Args:
            kind: any type that msgspec decodes. Messages are read as JSON, or, if they are binary
                and the subprotocol is ``msgpack``, as MessagePack.
            timeout: seconds to wait for a message, whichever it is.

        Raises:
            AssertionError: it is another message, or the end.
            TimeoutError: no message came in time; says where the app is.
            Exception: what the app raised.
        """
        name = getattr(kind, "__name__", str(kind))
        await self._news(name, timeout)
        if not self._call.messages:
            raise AssertionError(f"expected {name}, but {self._ending()}")
        message = self._call.take()
        packed = isinstance(message, bytes) and self.subprotocol == "msgpack"
        decode: Callable[..., T] = msgspec.msgpack.decode if packed else msgspec.json.decode
        try:
            return decode(message, type=kind)
        except msgspec.DecodeError as error:
            raise AssertionError(f"expected {name}, got {message!r}: {error}") from None

    async def expect_nothing(self) -> None:
        """Makes sure that no message has come, and that the app has none to send.

            await ada.send(Chat("hi"))
            await bob.expect(Said)
            await ada.expect_nothing()

        It does not wait for some time, but until the app has received all that this client sent
        and receives again, and nothing in the event loop is ready to run: no helper task, and no
        app of another client. What a helper or another app will do once a timer, a socket or a
        thread wakes it, it cannot know. Where a `Clock` stands, the app may wait for whatever
        it likes.

        Raises:
            AssertionError: something came.
            TimeoutError: the app does not come to receive again; says where it is.
            Exception: what the app raised.
        """
        async with patience(self._call.timeout, lambda: f"no rest; {self._call.whereabouts()}"):
            await self._rest()
        if self._call.messages:
            raise AssertionError(f"expected nothing, got {self._queued()}")
        if self.closed is not None:
            raise AssertionError(f"expected nothing, but {self._ending()}")

    async def expect_close(self, timeout: float | None = None) -> tuple[int, str]:
        """Waits for the app to close the connection, and gives code and reason.

            assert await ws.expect_close() == (1008, "slow consumer")

        Raises:
            AssertionError: a message came instead.
            TimeoutError: it did not, in time; says where the app is.
            Exception: what the app raised.
        """
        await self._news("the end", timeout)
        if self._call.messages:
            raise AssertionError(f"expected the end, got {self._queued()}")
        assert self.closed is not None
        return self.closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Leaves, unless the app has closed already, and waits for the app to end.

            await ws.close(1001, "going away")

        What the app sent before can still be received.

        Args:
            code: a close code that may be sent; 1005 for a close frame without one, 1006 for a
                connection that breaks.
            reason: at most 123 bytes.

        Raises:
            ValueError: the code or the reason may not be sent (RFC 6455 section 7.4).
            TimeoutError: the app goes on, and is cancelled; says where it was.
            Exception: what the app raised.
        """
        call = self._call
        if code != 1006:
            check_closing(code, reason)
        if call.closed is None:
            call.raise_fault()
            call.leave(code, reason)
        await call.finish()

    async def _news(self, awaited: str, timeout: float | None) -> None:
        """Waits for a message or the end."""
        call = self._call
        await call.until(lambda: call.messages or call.closed is not None, awaited, timeout)
        if not call.messages:
            call.raise_fault()

    async def _rest(self) -> None:
        call = self._call
        clock = Clock.standing()
        while True:
            await (settle() if clock is None else clock.settle())
            if call.messages or call.closed is not None:
                return
            call.raise_fault()
            if call.waits or clock is not None:
                return
            await call.change()

    def _disconnected(self) -> Disconnected:
        code, reason = self.closed or (1006, "")
        return Disconnected(code, reason, clean=code != 1006)

    def _ending(self) -> str:
        code, reason = self.closed or (1006, "")
        who = "the client left" if self._call.has_left else "the app closed"
        return f"{who} with {code} {reason}".rstrip()

    def _queued(self) -> str:
        first, *more = self._call.messages
        return f"{first!r}" + (f" and {len(more)} more" if more else "")
