"""A WebSocket as an app sees it: what it may send at which stage, as on a real server.

    CONNECTING  websocket.accept -> OPEN, websocket.close -> CLOSED (a 403),
                websocket.http.response.start -> DENYING
    DENYING     websocket.http.response.body -> CLOSED with the last of them
    OPEN        websocket.send, websocket.close -> CLOSED
    CLOSED      nothing

Whatever else the app sends is raised as an AssertionError, in the app and in the test. After
the client has left, sending raises `ClientDisconnected` (ASGI 2.4), and closing does nothing.
"""

from collections import deque
from enum import Enum
from http.client import FORBIDDEN, responses

from fastws.errors import ClientDisconnected, HandshakeError
from fastws.limits import KIB, Limits
from fastws.testing.call import App, Call, Event, Scope
from fastws.wire.connection import Connection, Role
from fastws.wire.handshake import append_headers

# Unread messages above which `send()` waits for the client, as on a server; in bytes, and what
# one message counts for besides its payload.
MAX_UNREAD = 64 * KIB
MESSAGE_COST = 64

# RFC 6455 section 5.5: a control frame holds 125 bytes; two of them are the code.
MAX_REASON = 123


Header = tuple[bytes, bytes]


class Stage(Enum):
    """What the app has made of the connection; the value says what it may send next."""

    CONNECTING = "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'"
    DENYING = "'websocket.http.response.body'"
    OPEN = "'websocket.send' or 'websocket.close'"
    CLOSED = "nothing after it has closed the connection"


class WebSocketCall(Call):
    """An app that has been called for a WebSocket.

    Attributes:
        stage: what the app has made of it.
        messages: what the app sent and nobody has received yet.
        subprotocol: what the app accepted with.
        headers: the same.
        denial: the HTTP response with which the app refused, once it is complete.
        closed: how the connection ended, as (code, reason); None until it has.
    """

    def __init__(self, app: App, scope: Scope, timeout: float) -> None:
        self.stage = Stage.CONNECTING
        self.messages: deque[str | bytes] = deque()
        self.subprotocol: str | None = None
        self.headers: list[Header] = []
        self.denial: HandshakeError | None = None
        self.closed: tuple[int, str] | None = None
        self._unread = 0
        self._gone: ClientDisconnected | None = None
        self._denying: tuple[int, list[Header]] = (0, [])
        self._body = bytearray()
        super().__init__(app, scope, timeout)
        self.tell({"type": "websocket.connect"})

    # The test's side.

    def take(self) -> str | bytes:
        """Takes the next message, and lets the app send more."""
        message = self.messages.popleft()
        self._unread -= len(message) + MESSAGE_COST
        self.wake()
        return message

    def leave(self, code: int, reason: str) -> None:
        """Has the client leave, if the connection is not over."""
        if self.closed is None:
            self._gone = ClientDisconnected(code, reason, clean=code != 1006)
            self._end(code, reason)

    @property
    def has_left(self) -> bool:
        """Whether the client has ended the connection, and not the app."""
        return self._gone is not None

    def fault(self) -> BaseException | None:
        """Gives what the app has raised, or that it has left the connection as it was."""
        fault = super().fault()
        if isinstance(fault, ClientDisconnected) and self.has_left:
            return None  # it need not be caught
        if fault is None and self.over and self.closed is None:
            left = self.stage.name.lower()
            return AssertionError(f"the app returned and left the connection {left}")
        return fault

    def _end(self, code: int, reason: str) -> None:
        self.closed = code, reason
        self.end = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self.wake()

    # The app's side.

    async def on_event(self, event: Event) -> None:
        """Takes what the app sends, if it may send that now."""
        kind = event["type"]
        if self._gone is not None and self.stage is not Stage.CLOSED:
            if kind != "websocket.close":
                raise self._gone
            self.stage = Stage.CLOSED
            return
        match self.stage, kind:
            case Stage.CONNECTING, "websocket.accept":
                self._accept(event)
            case Stage.CONNECTING, "websocket.close":
                self._deny(FORBIDDEN, [])
            case Stage.CONNECTING, "websocket.http.response.start":
                self._start_denial(event)
            case Stage.DENYING, "websocket.http.response.body":
                self._add_to_denial(event)
            case Stage.OPEN, "websocket.send":
                await self._send_message(event)
            case Stage.OPEN, "websocket.close":
                self._close(event)
            case _:
                self.blame(f"the app sent {kind!r}, but may send {self.stage.value}")
        self.wake()

    def _accept(self, event: Event) -> None:
        subprotocol = event.get("subprotocol")
        # RFC 6455 4.2.2: the value "MUST be one of the values that the client offered".
        if subprotocol is not None and subprotocol not in self.scope["subprotocols"]:
            self.blame(f"the client did not offer the subprotocol {subprotocol!r}")
        self.headers = self._headers(event)
        self.subprotocol = subprotocol
        self.stage = Stage.OPEN

    def _headers(self, event: Event) -> list[Header]:
        try:
            headers = [(bytes(name).lower(), bytes(value)) for name, value in event["headers"]]
            append_headers([], headers)
        except KeyError:
            return []
        except (TypeError, ValueError) as error:
            self.blame(f"the headers of {event!r} cannot be sent: {error}")
        return headers

    def _start_denial(self, event: Event) -> None:
        status = event.get("status")
        if not isinstance(status, int) or not 200 <= status < 600:
            self.blame(f"the app refused with the HTTP status {status!r}")
        self._denying = status, self._headers(event)
        self.stage = Stage.DENYING

    def _add_to_denial(self, event: Event) -> None:
        self._body += event.get("body", b"")
        if not event.get("more_body", False):
            self._deny(*self._denying)

    def _deny(self, status: int, headers: list[Header]) -> None:
        reason = responses.get(status, "the app refused")
        self.denial = HandshakeError(status, reason, tuple(headers), bytes(self._body))
        self.stage = Stage.CLOSED
        self._end(1006, "")

    async def _send_message(self, event: Event) -> None:
        text, data = event.get("text"), event.get("bytes")
        message = data if text is None else text
        if not isinstance(message, bytes if text is None else str):
            self.blame(f"the app sent {event!r}; it needs a text that is a str, or bytes")
        while self._unread > MAX_UNREAD and self._gone is None:
            await self.change()
        if self._gone is not None:
            raise self._gone
        self.messages.append(message)
        self._unread += len(message) + MESSAGE_COST

    def _close(self, event: Event) -> None:
        code, reason = event.get("code", 1000), event.get("reason") or ""
        try:
            check_closing(code, reason)
        except (TypeError, ValueError) as error:
            self.blame(f"the app cannot close with {code!r} {reason!r}: {error}")
        self.stage = Stage.CLOSED
        self._end(code, reason)


def check_closing(code: int, reason: str) -> None:
    """Makes sure that a close frame can hold a code and a reason.

    Raises:
        ValueError: it cannot (RFC 6455 sections 5.5 and 7.4).
    """
    Connection(Role.SERVER, Limits(), None).send_close(code, reason)
    if len(reason.encode()) > MAX_REASON:
        raise ValueError(f"the reason has more than {MAX_REASON} bytes")
