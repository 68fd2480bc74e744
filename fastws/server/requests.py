"""Plain HTTP as uvicorn does it, with bounds on the request head.

A request head that is not complete waits here, for `Limits.handshake_timeout` and up to
`Limits.max_header_size`. A complete one goes to uvicorn's own class, unless it is an upgrade:
a connection may ask for that after plain requests, too.
"""

import logging
from asyncio import AbstractEventLoop, Transport
from typing import Any, TypeGuard

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fastws.aio.endpoint import finish_sending
from fastws.aio.hub import hub_of
from fastws.errors import HandshakeError
from fastws.limits import Limits
from fastws.server.config import limits_for
from fastws.server.protocol import WebSocketProtocol, restarting
from fastws.server.scope import describe_request, find_target
from fastws.wire.handshake import find_head, is_bodiless, parse_request, refusal

logger = logging.getLogger("uvicorn.error")


def is_ours(ws_class: Any) -> TypeGuard[type[WebSocketProtocol]]:
    """Tells whether upgrades go straight to our class, and not the way that uvicorn has."""
    return isinstance(ws_class, type) and issubclass(ws_class, WebSocketProtocol)


def is_draining(server_state: Any) -> bool:
    """Tells whether the process is about to end; under plain uvicorn it never says so."""
    return getattr(server_state, "draining", False)


def check_room(server_state: Any, limits: Limits) -> None:
    """Finds out whether the process takes another WebSocket.

    Raises:
        HandshakeError: 503; it has all that it may have, or is about to end.
    """
    if is_draining(server_state):
        raise restarting()
    limit = limits.max_connections
    if limit is not None and len(server_state.connections) > limit:
        raise HandshakeError(503, "too many connections")


class _Counted(HttpToolsProtocol):
    """uvicorn's httptools class, with our counters in the scope."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.hub = hub_of(self.loop)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions = {"fastws": {"counters": self.hub.counters}}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if is_draining(self.server_state) and self.cycle is not None:
            # The next request is for another process.
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        self.hub.counters.count_refusal("server", 400)
        super().send_400_response(msg)


class HttpRequests(_Counted):
    """The same, with bounds on the request head."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits_for(config)
        # Two parsers, between which requests can be given to either: uvicorn's, which tells us
        # what it meets, and one for requests that hold no surprise, which tells only uvicorn
        # (a GET costs 1.4 us more than uvicorn with the first, 0.3 us with the second).
        self.watched_parser = self.parser
        self.plain_parser = HttpRequestParser(super())
        self.plain_parser.set_dangerous_leniencies(lenient_data_after_close=True)
        # What has come of the next request head; None while the parser is inside a request.
        self.head: bytearray | None = bytearray()
        # What the parser has taken since it last had something for us: of a head that began
        # behind a body, of trailers, of extensions of chunks.
        self.parser_kept = 0
        self.parser_in_head = False
        self.timed = False
        self.refused = False

    # The transport's side.

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)
        self._forget_parsers()

    def _forget_parsers(self) -> None:
        """Breaks the circles of parsers and protocol: nothing of this object stays."""
        self.parser = self.watched_parser = self.plain_parser = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        limits = self.limits
        if (
            self.head is not None
            and not self.head
            and not self.refused
            and is_bodiless(data, limits.max_header_size, limits.max_header_count)
        ):
            if self.timed:
                self._stop_clock()
            self.parser = self.plain_parser
            super().data_received(data)
            return
        self.parser = self.watched_parser
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        while data and not self.refused and not self.transport.is_closing():
            if self.head is None:
                self._feed_parser(data)
                return
            if self.head:
                # Searched once: only the end of what waited can be part of the empty line.
                start = max(len(self.head) - 3, 0)
                self.head += data
                size = find_head(self.head, start)
            else:
                # RFC 9112 section 2.2: empty lines before a request line are to be ignored.
                data = data.lstrip(b"\r\n")
                size = find_head(data)
            if size == 0:
                self._wait_for_more(data)
                return
            if self.head:
                data = bytes(self.head)
            self.head = None
            self._stop_clock()
            if abs(size) > self.limits.max_header_size:
                self._refuse_size(data)
            elif size > 0:
                self._upgrade(data, size)
                return
            else:
                self._feed_parser(data[:-size])
                data = data[-size:]

    def _wait_for_more(self, data: bytes) -> None:
        if not self.head:
            self.head = bytearray(data)
            self._unset_keepalive_if_required()
            self._start_clock()
        assert self.head is not None
        if len(self.head) > self.limits.max_header_size:
            self._refuse_size(self.head)

    def _feed_parser(self, data: bytes) -> None:
        self.parser_kept += len(data)
        super().data_received(data)
        if self.parser_in_head:
            # A head that came behind a body, in one piece with it.
            self._start_clock()
        if self.parser_kept > self.limits.max_header_size and not self.refused:
            self._refuse(HandshakeError(431, "the request head is too large"))

    # The parser's side.

    def on_message_begin(self) -> None:
        self.head = None
        self.parser_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.parser_in_head = False
        self.parser_kept = 0
        self._stop_clock()
        if len(self.headers) > self.limits.max_header_count:
            self._refuse(HandshakeError(431, "too many headers"))
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.parser_kept = 0
        if not self.refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self.head = bytearray()
        self.parser_kept = 0
        if not self.refused:
            super().on_message_complete()

    # The upgrade.

    def _upgrade(self, data: bytes, size: int) -> None:
        ws_class = self.ws_protocol_class
        if not is_ours(ws_class):
            self._feed_parser(data)
            return
        try:
            if self._is_busy():
                raise HandshakeError(400, "an upgrade cannot wait for another response")
            check_room(self.server_state, self.limits)
            request = parse_request(data[:size], self.limits.max_header_count)
        except HandshakeError as error:
            self._refuse(error, data)
            return
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self._forget_parsers()
        protocol = ws_class(self.config, self.server_state, self.app_state, self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.begin(request, data[size:])

    def handle_websocket_upgrade(self) -> None:
        """Takes what the parser holds for an upgrade.

        For other classes than ours it is one. For ours, it is one that `find_head` did not see,
        since it began behind a body.
        """
        if is_ours(self.ws_protocol_class):
            self._refuse(HandshakeError(400, "an upgrade must be a request of its own"))
        else:
            super().handle_websocket_upgrade()

    # Refusals.

    def _refuse_size(self, head: bytes | bytearray) -> None:
        if b"\r\n" in head:
            self._refuse(HandshakeError(431, "the request head is too large"), head)
        else:
            self._refuse(HandshakeError(414, "the request target is too long"), head)

    def _refuse(self, error: HandshakeError, head: bytes | bytearray | None = None) -> None:
        """Answers with an error and ends the connection.

        A refused upgrade that leaves TCP open could be taken for a tunnel by a proxy.

        Args:
            error: what the client gets.
            head: the request, unless it is the one that the parser is at.
        """
        self.refused = True
        self.hub.counters.count_refusal("server", error.status)
        target = self.url if head is None else find_target(bytes(head))
        name, path = describe_request(self.client, target)
        logger.info('%s - "%s" refused: %s', name, path, error)
        self._stop_clock()
        if self._is_busy() and not self.cycle.more_body:
            # Our answer would stand where a response to an earlier request belongs. That one
            # comes to its end; then TCP is closed.
            self.cycle.keep_alive = False
            return
        self.timed = True
        self.hub.set_deadline(self, self.limits.close_timeout)
        if self._is_busy():
            # The fault is in the body; the app may have begun to answer.
            self.transport.close()
            return
        self.transport.write(refusal(error, self.server_state.default_headers))
        # Closing while the client still sends would reset TCP, and the answer might be lost.
        finish_sending(self.transport)

    def _is_busy(self) -> bool:
        """Tells whether a response is due, or has begun and not ended."""
        return self.cycle is not None and not self.cycle.response_complete

    def drain(self, window: float) -> bool:
        """Ends what there is; a request that has begun is answered, however long it takes."""
        self.shutdown()
        return True

    def shutdown(self) -> None:
        """Called by uvicorn when the server shuts down."""
        super().shutdown()
        if self.transport.is_closing():
            # With TLS, closing waits for the peer's answer.
            self._stop_clock()
            self.timed = True
            self.hub.set_deadline(self, self.limits.close_timeout)

    # The deadline.

    def _start_clock(self) -> None:
        if not self.timed and self.limits.handshake_timeout is not None:
            self.timed = True
            self.hub.set_deadline(self, self.limits.handshake_timeout)

    def _stop_clock(self) -> None:
        if self.timed:
            self.timed = False
            self.hub.clear_deadline(self)

    def on_deadline(self) -> None:
        """Called when the head has taken too long, or the end of a refused request has."""
        self.timed = False
        if self.refused or self.transport.is_closing():
            self.transport.abort()
        elif self._is_busy():
            # The client may be waiting for us.
            self._start_clock()
        elif self.head or self.parser_in_head:
            self._refuse(HandshakeError(408, "the request head took too long"), self.head)
        else:
            self.transport.close()
