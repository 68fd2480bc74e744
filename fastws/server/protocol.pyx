# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False
"""A WebSocket as an ASGI app sees it: the class for uvicorn's ``--ws``.

What an app may send depends on the stage:

    CONNECTING  websocket.accept -> OPEN, websocket.close -> CLOSED (a 403),
                websocket.http.response.start -> DENYING
    DENYING     websocket.http.response.body -> CLOSED with the last of them
    OPEN        websocket.send, websocket.close -> CLOSED
    CLOSED      nothing: the app has ended it
    ENDED       nothing: we have, before the app did

Anything else raises RuntimeError. After the client has gone, whatever the stage, and in ENDED
sending raises `ClientDisconnected`; closing then is no mistake and does nothing.
"""

import logging
from asyncio import get_event_loop, iscoroutine
from random import random

from fastws.aio.awaitables import SENT, Driver, failed
from fastws.closing import restart_reason
from fastws.errors import ClientDisconnected, HandshakeError
from fastws.server.config import deflate_for, limits_for
from fastws.server.scope import describe_request, find_target
from fastws.wire.connection import Role
from fastws.wire.deflate import negotiate
from fastws.wire.handshake import accept_response, http_response, parse_request, refusal

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from fastws.aio.awaitables cimport receive_from
from fastws.aio.endpoint cimport Endpoint, finish_sending
from fastws.aio.hub cimport hub_of
from fastws.server.addresses cimport client_address, server_address
from fastws.server.callables cimport AsgiCallable, asgi_callable, expect_arguments
from fastws.server.exchange cimport Exchange, Stage
from fastws.server.scope cimport describe, websocket_scope
from fastws.wire.connection cimport Connection
from fastws.wire.deflate cimport Compression
from fastws.wire.frames cimport DONE, EXC, Done
from fastws.wire.handshake cimport UpgradeRequest
from fastws.wire.reader cimport Phase

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()

logger = logging.getLogger("uvicorn.error")

cdef enum:
    # Bytes that a client sent before it was answered; it should have waited.
    MAX_EARLY = 64 * 1024

cdef dict EXPECTED = {
    Stage.CONNECTING: "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'",
    Stage.DENYING: "'websocket.http.response.body'",
    Stage.OPEN: "'websocket.send' or 'websocket.close'",
    Stage.CLOSED: "nothing after 'websocket.close'",
}


def restarting():
    """Gives what an upgrade gets from a server that drains: another one may have room."""
    return HandshakeError(503, "restarting", ((b"retry-after", b"1"),))


cdef class WebSocketProtocol(Exchange):
    def __init__(self, config, server_state, app_state, _loop=None):
        if not config.loaded:
            config.load()
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.limits = limits_for(config)
        self.hub = hub_of(_loop or get_event_loop())

    # The way in.

    def connection_made(self, transport):
        Endpoint.connection_made(self, transport)
        self.server_state.connections.add(self)

    def data_received(self, data):
        """Takes the request head from another HTTP class, which gives it as one piece."""
        if self.request is not None or self.connection is not None:
            Endpoint.data_received(self, data)
            return
        try:
            request = parse_request(data, self.limits.max_header_count)
        except HandshakeError as error:
            client = client_address(self.fd, self.transport)
            name, path = describe_request(client, find_target(data))
            logger.info('%s - "%s" refused: %s', name, path, error)
            self.hub.counters.count_refusal("server", error.status)
            self.refuse(error)
            return
        self.begin(request, b"")

    def begin(self, UpgradeRequest request, early):
        """Starts the app for a request; `early` are the bytes that came right after it."""
        config, transport = self.config, self.transport
        self.request = request
        self.scope = websocket_scope(
            request,
            self,
            self.hub.counters,
            config.asgi_version,
            config.root_path,
            "wss" if transport.get_extra_info("sslcontext") else "ws",
            server_address(self.fd, transport),
            client_address(self.fd, transport),
            self.app_state,
        )
        self.app_state = None
        if early:
            self.early_bytes = bytearray(early)
        receive = asgi_callable(self, _receive)
        send = asgi_callable(self, _send)
        driver = Driver(_run(config.loaded_app, self.scope, receive, send), self)
        task = self.hub.loop.create_task(driver)
        driver.drive(task)
        self.server_state.tasks.add(task)

    cdef Done early(self, uint8_t *data, size_t n) except EXC:
        """Keeps what comes before the app has accepted, up to a bound; then TCP holds it."""
        if self.stage != Stage.CONNECTING or self.lost:
            return DONE
        if self.early_bytes is None:
            self.early_bytes = bytearray()
        self.early_bytes += data[:n]
        if len(self.early_bytes) > MAX_EARLY and not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()
        return DONE

    def refuse(self, error):
        """Answers with an HTTP error and closes TCP, so that no proxy takes it for a tunnel."""
        self.stage = Stage.ENDED
        if self.lost or self.transport.is_closing():
            return
        self.transport.write(refusal(error, self.server_state.default_headers))
        self._close_tcp()
        self.wake(False)

    cdef _close_tcp(self):
        """Ends TCP after an HTTP response; a client that does not read it is not waited for."""
        self.hub.set_deadline(self, self.limits.close_timeout)
        # Closing while the client still sends would reset TCP, and the answer might be lost.
        finish_sending(self.transport)
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()

    def on_deadline(self):
        self.abort()

    # What the app sends.

    cdef object send(self, event):
        """The ASGI ``send``: acts at once, and gives something to await."""
        if PyThread_get_thread_ident() != self.hub.thread:
            return self._send_in_loop(event)
        try:
            kind = event["type"]
            if self.stage == Stage.OPEN and kind == "websocket.send":
                if self.blocked and self.is_full():
                    return self._send_later(event)
                self._send_message(event)
            else:
                self._send_other(kind, event)
                if self.blocked and self.stage == Stage.DENYING:
                    return self._wait_until_sent()
        except Exception as error:
            return self.refused(error)
        return SENT

    async def _wait_until_sent(self):
        """Waits until the client has read what it was sent of a response, or is let go."""
        self.hub.set_deadline(self, self.limits.close_timeout)
        while self.blocked:
            await self.wait_for_room()
        self.hub.clear_deadline(self)

    async def _send_in_loop(self, event):
        """What another thread gets, which then has to bring it to the loop."""
        await self.send(event)

    async def _send_later(self, event):
        """Waits until the client has read enough of what it was sent."""
        await self.wait_for_room()
        self._send_message(event)

    cdef Done _send_other(self, kind, event) except EXC:
        cdef Stage stage = self.stage
        if stage == Stage.ENDED or (stage != Stage.CLOSED and self._client_has_gone()):
            if kind == "websocket.close":
                self.stage = Stage.CLOSED
                return DONE
            raise self.disconnected()
        if stage == Stage.CONNECTING and kind == "websocket.accept":
            self._accept(event)
        elif stage == Stage.CONNECTING and kind == "websocket.close":
            self._note_refusal("app", 403)
            self.refuse(HandshakeError(403, ""))
            self.stage = Stage.CLOSED
        elif stage == Stage.CONNECTING and kind == "websocket.http.response.start":
            self._start_denial(event)
        elif stage == Stage.DENYING and kind == "websocket.http.response.body":
            self._send_denial_body(event)
        elif stage == Stage.OPEN and kind == "websocket.close":
            self._close(event)
        else:
            raise RuntimeError(f"Expected ASGI message {EXPECTED[stage]}, but got {kind!r}.")
        return DONE

    cdef bint _client_has_gone(self):
        return self.lost or self.transport.is_closing() or (
            self.connection is not None and not self.connection.may_send()
        )

    cdef _close(self, event):
        code = event.get("code", 1000)
        self.begin_close(1000 if code is None else code, event.get("reason") or "")
        self.stage = Stage.CLOSED

    # The handshake's end.

    cdef _accept(self, event):
        cdef UpgradeRequest request = self.request
        cdef Connection connection
        options = event.get("fastws") or {}
        headers = list(self.server_state.default_headers)
        compression = self._negotiate(headers, options.get("compression", True))
        subprotocol = self._choose_subprotocol(headers, event)
        if subprotocol is not None:
            headers.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        response = accept_response(request.key, headers)
        connection = Connection(Role.SERVER, options.get("limits", self.limits), compression)
        connection.raw = options.get("raw", False)
        connection.observe_control = options.get("observe_control", False)
        self.open(connection)
        if connection.bounds.max_lifetime:
            # Who came together does not leave together, nor come back together.
            age = connection.bounds.max_lifetime * (1 - random() / 10)
            self.expires = self.hub.loop.time() + age
        self.hub.counters.accepted += 1
        self._log("[accepted]")
        self.transport.write(response)
        self.stage = Stage.OPEN
        self.request = None
        if self.early_bytes is not None:
            self._take_early()
        self.resume_if_room()

    cdef _take_early(self):
        """Takes what came before the answer, before anything that comes after it is read."""
        cdef bint read_by_loop = self.read_by_loop
        early, self.early_bytes = self.early_bytes, None
        # No: by the app.
        self.read_by_loop = False
        Endpoint.data_received(self, early)
        self.read_by_loop = read_by_loop

    cdef Compression _negotiate(self, list headers, bint wanted):
        options = deflate_for(self.config)
        if not wanted or options is None or not self.request.extensions:
            return None
        agreed = negotiate(self.request.extensions, options)
        if agreed is None:
            return None
        params, answer = agreed
        headers.append((b"sec-websocket-extensions", answer))
        return Compression(params, options, True)

    cdef object _choose_subprotocol(self, list headers, event):
        """Reads the event's headers and subprotocol; gives the latter."""
        subprotocol = event.get("subprotocol")
        for name, value in event.get("headers") or ():
            name = bytes(name).lower()
            if name != b"sec-websocket-protocol":
                headers.append((name, bytes(value)))
            elif subprotocol is None:
                subprotocol = bytes(value).decode("latin-1")
        # 4.2.2: the value "MUST be one of the values that the client offered".
        if subprotocol is not None and subprotocol not in self.request.subprotocols:
            raise RuntimeError(f"the client did not offer the subprotocol {subprotocol!r}")
        return subprotocol

    cdef _start_denial(self, event):
        status = event["status"]
        if not 200 <= status < 600:
            raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
        headers = [
            (bytes(name).lower(), bytes(value)) for name, value in event.get("headers") or ()
        ]
        # Raises now what it would raise with the body.
        http_response(status, headers)
        self.denial = (status, [h for h in headers if h[0] != b"connection"])
        self.stage = Stage.DENYING
        self._note_refusal("app", status)

    cdef _send_denial_body(self, event):
        body = bytes(event.get("body", b""))
        more = event.get("more_body", False)
        if self.denial is not None:
            status, headers = self.denial
            names = {name for name, _ in headers}
            headers += [h for h in self.server_state.default_headers if h[0] not in names]
            # The length is known if this is all; otherwise the end of TCP ends the body.
            if not more and b"content-length" not in names:
                headers.append((b"content-length", b"%d" % len(body)))
            body = http_response(status, headers) + body
            self.denial = None
        self.transport.write(body)
        if not more:
            self.stage = Stage.CLOSED
            self._close_tcp()

    # The ends.

    cdef Done on_task_done(self, object task) except EXC:
        self.server_state.tasks.discard(task)
        error = None
        if task.cancelled():
            error = "cancelled"
        elif task.exception() is not None:
            error = task.exception()
            if not isinstance(error, ClientDisconnected):
                logger.error("Exception in ASGI application\n", exc_info=error)
        elif task.result() is not None:
            logger.error("ASGI callable should return None, but returned '%s'.", task.result())
        if self.lost:
            return DONE
        if self.stage == Stage.OPEN:
            if error is None:
                self.begin_close(1000, "")
            else:
                self.begin_close(1011, "internal error")
        elif self.stage == Stage.CONNECTING or self.denial is not None:
            if error is None:
                logger.error("ASGI callable returned without completing handshake.")
            self._note_refusal("server", 500)
            self.refuse(HandshakeError(500, "Internal Server Error"))
        elif self.stage == Stage.DENYING and self.denial is None:
            self._close_tcp()
        self.stage = Stage.CLOSED
        return DONE

    def shutdown(self):
        """Called by uvicorn when the server shuts down."""
        self.drain(self.limits.drain_window)

    def drain(self, double window):
        """Ends what there is, a WebSocket within so many seconds; tells whether it does."""
        if self.stage == Stage.CONNECTING:
            self._note_refusal("server", 503)
            self.refuse(restarting())
        elif self.connection is not None:
            self.hub.drain(self._restart, window)
        elif not self.lost:
            self._close_tcp()
        return True

    cdef Done sweep(self, double now) except EXC:
        if self.expires and now >= self.expires:
            self.expires = 0
            self.hub.drain(self._restart, self.limits.drain_window)
        return Endpoint.sweep(self, now)

    def _restart(self):
        self.begin_close(1012, restart_reason())

    cdef Done on_failed(self) except EXC:
        if logger.isEnabledFor(logging.INFO):
            code, reason, _ = self.closing()
            logger.info('%s - "WebSocket %s" failed: %d %s', *describe(self.scope), code, reason)
        return DONE

    cdef Done on_lost(self) except EXC:
        self._count_end()
        self.server_state.connections.discard(self)
        self.hub.clear_deadline(self)
        self.early_bytes = None
        self.scope = None
        self.request = None
        return DONE

    cdef Done _count_end(self) except EXC:
        cdef Connection connection = self.connection
        if connection is None:
            if self.scope is not None and self.stage == Stage.CONNECTING:
                self.hub.counters.abandoned += 1
        elif connection.phase == Phase.OPEN:
            self.hub.counters.count_close(1006, "network")
        else:
            by = "client" if connection.closed_by_peer else "server"
            self.hub.counters.count_close(connection.close_code, by)
        return DONE

    cdef _note_refusal(self, str by, int status):
        self.hub.counters.count_refusal(by, status)
        self._log(status)

    cdef _log(self, outcome):
        if logger.isEnabledFor(logging.INFO):
            logger.info('%s - "WebSocket %s" %s', *describe(self.scope), outcome)


cdef object _receive(object self, PyObject *const *args, size_t count, PyObject *names):
    """The ASGI ``receive``; see `fastws.aio.awaitables` for what it returns."""
    expect_arguments(0, count, names)
    return receive_from(<WebSocketProtocol>(<AsgiCallable>self).owner, None)


cdef object _send(object self, PyObject *const *args, size_t count, PyObject *names):
    """The ASGI ``send``."""
    expect_arguments(1, count, names)
    return (<WebSocketProtocol>(<AsgiCallable>self).owner).send(<object>args[0])


cdef object _run(app, scope, receive, send):
    """Calls an app; gives a coroutine whatever the app is made of."""
    try:
        running = app(scope, receive, send)
    except Exception as error:
        return failed(error)
    return running if iscoroutine(running) else _await(running)


async def _await(awaitable):
    return await awaitable
