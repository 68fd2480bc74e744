"""The opening handshake as a handler sees it: the request, and one answer to it."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from fastws.app.answer import Header, checked_headers, denial
from fastws.app.bearer import accepted_subprotocol
from fastws.app.messages import Codec, JsonCodec
from fastws.app.portable import Receive, Scope, Send
from fastws.app.sender import Sender
from fastws.errors import Disconnected
from fastws.limits import Limits

# For what is sent where no messages are declared.
PLAIN = JsonCodec(Any)


class State(Enum):
    """What may be done: before the accept, between it and the close, after it."""

    CONNECTING = "before accept()"
    ANSWERING = "while the handshake is being answered"
    OPEN = "after accept()"
    CLOSED = "after the end"


class Handshake(Sender):
    """The opening handshake, on any ASGI server.

    Attributes:
        scope: the ASGI scope.
        state: what may be done now.
        codec: the format of the messages, once accepted; None for plain text and binary.
        subprotocol: the one that was agreed on, or None.
    """

    __slots__ = (
        "_binary",
        "_codecs",
        "_native",
        "_own_limits",
        "_receive",
        "_send",
        "codec",
        "scope",
        "state",
        "subprotocol",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        codecs: Sequence[Codec],
        limits: Limits | None,
    ) -> None:
        if scope["type"] != "websocket":
            raise ValueError(f"a WebSocket needs the scope of one, not of {scope['type']!r}")
        self.scope = scope
        self.state = State.CONNECTING
        self.codec: Codec | None = None
        self.subprotocol: str | None = None
        self._receive = receive
        self._send = send
        self._codecs = codecs
        self._encode = PLAIN.encode_bytes
        self._binary = False
        self._own_limits = limits
        # What our server offers; None on others.
        self._native: Mapping[str, Any] | None = (scope.get("extensions") or {}).get("fastws")

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[Header] = (),
    ) -> None:
        """Answers the handshake with 101.

        Args:
            subprotocol: one that the client offered. By default, that of the first format that
                it offered and the messages have.
            headers: more headers for the answer.

        Raises:
            Disconnected: the client did not wait for it.
            ValueError: the client did not offer that, or a header is none.
        """
        event: dict[str, Any] = {"type": "websocket.accept", "headers": checked_headers(headers)}
        if subprotocol is not None and subprotocol not in self.scope.get("subprotocols", ()):
            # RFC 6455 4.2.2: it "MUST be one of the values that the client offered".
            raise ValueError(f"the client did not offer the subprotocol {subprotocol!r}")
        await self._connect("accept")
        self._choose_codec(subprotocol)
        if self.subprotocol is not None:
            event["subprotocol"] = self.subprotocol
        if self._native is not None:
            event["fastws"] = {"raw": self.codec is not None}
            if self._own_limits is not None:
                event["fastws"]["limits"] = self._own_limits
        await self._answer(event)
        self.state = State.OPEN

    async def _connect(self, what: str) -> None:
        """Takes the first event, which says that there is a client, and the right to answer."""
        if self.state is not State.CONNECTING:
            raise RuntimeError(f"{what}() {self.state.value}")
        self.state = State.ANSWERING
        try:
            event = await self._receive()
        except BaseException:
            # Cancelled, and nothing has been answered yet.
            self.state = State.CONNECTING
            raise
        if event["type"] != "websocket.connect":
            self.state = State.CLOSED
            raise Disconnected()

    def _choose_codec(self, subprotocol: str | None) -> None:
        by_name = {codec.subprotocol: codec for codec in self._codecs}
        if subprotocol is None:
            offered = self.scope.get("subprotocols", ())
            known = (name for name in offered if name in by_name)
            # What came with a token says nothing about messages, but wants an answer, too.
            subprotocol = next(known, None) or accepted_subprotocol(self.scope)
        self.subprotocol = subprotocol
        if self._codecs:
            self.codec = by_name.get(subprotocol or "", self._codecs[0])
            self._encode, self._binary = self.codec.encode_bytes, self.codec.binary

    async def deny(
        self,
        status: int,
        reason: str,
        headers: Iterable[Header] = (),
        **fields: Any,
    ) -> None:
        """Answers the handshake with an HTTP error that has a JSON body.

        A server without denial responses (an ASGI extension) answers 403, whatever the status.

        Raises:
            Disconnected: the client did not wait for it.
            TypeError: the fields cannot be JSON.
            ValueError: the status is none, or a header is none.
        """
        events = denial(status, reason, headers, fields)
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            events = [{"type": "websocket.close"}]
        await self._connect("deny")
        self.state = State.CLOSED
        for event in events:
            await self._answer(event)

    async def _answer(self, event: dict[str, Any]) -> None:
        """Sends an event of the handshake; every server has its own way to say that it is over."""
        try:
            await self._send(event)
        except (OSError, RuntimeError):
            self.state = State.CLOSED
            raise Disconnected from None
