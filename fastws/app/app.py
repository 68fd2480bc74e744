"""A WebSocket application: routes, pages, and what begins and ends with the process."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fastws.app.admission import Admission
from fastws.app.exchange import server_limits
from fastws.app.handshake import PLAIN
from fastws.app.http import HTML, Page, Request, Response, refusal, respond
from fastws.app.messages import Codec, JsonCodec, MessagePackCodec
from fastws.app.metrics import Metrics
from fastws.app.origin import OriginCheck
from fastws.app.portable import Receive, Scope, Send
from fastws.app.routes import Routes, name_of
from fastws.app.websocket import WebSocket
from fastws.errors import HandshakeError
from fastws.limits import Limits
from fastws.rooms import Broker, History, Level, Policy, Rooms, broker_at

logger = logging.getLogger("fastws.app")

C = TypeVar("C")
Handler = Callable[[WebSocket[Any]], Awaitable[None]]
H = TypeVar("H", bound=Handler)
P = TypeVar("P", bound=Page)
OnDrain = Callable[[], Awaitable[None]]
Lifespan = Callable[["App"], AbstractAsyncContextManager[Mapping[str, Any] | None]]
Authenticate = Callable[[WebSocket[Any], type[C]], C]


class _Route(NamedTuple):
    handler: Handler
    codecs: Sequence[Codec]
    limits: Limits | None
    policy: Policy
    admission: Admission


class App:
    """An ASGI application of WebSocket handlers, and of the pages that go with them.

        app = App()

        @app.websocket("/rooms/{room}", messages=Chat)
        async def talk(ws: WebSocket[Chat]) -> None:
            await ws.accept()
            ws.join(ws.path_params["room"])
            async for message in ws:
                await ws.publish(ws.path_params["room"], message)

    ``/healthz`` answers 200 while the process can answer, ``/readyz`` while it wants clients,
    ``/metrics`` tells what has happened, in Prometheus' text format.

    Attributes:
        rooms: all rooms of the process.
        metrics: what ``/metrics`` tells.
        broker_url: where the broker is; None if `broker` is one.

    Args:
        auth: checks tokens for `auth`; a `fastws.app.auth.JWT`.
        origins: which pages may connect; by default, with cookies only those from here.
        limits: what a connection may cost, where its route does not say; by default, what the
            server has, and the environment (``FASTWS_*``).
        policy: what becomes of messages to members who do not read, where the route does not say.
        broker: how messages to rooms get to other processes: a `Broker`, or the URL of one, see
            `broker_at`. By default what ``FASTWS_BROKER`` says, or ``memory://``: they do not.
        history: what is kept of which rooms, for clients that come back (`WebSocket.resume`); by
            what their names begin with: ``{"chat/": History(count=100, ttl=300)}``, "" for all.
        presence: what all processes know of who is in a room, by what its name begins with:
            ``{"chat/": "events", "match/": "members", "": "count"}``, the longest of which counts.
            By default nothing.
    """

    def __init__(
        self,
        *,
        auth: Any = None,
        origins: OriginCheck | None = None,
        limits: Limits | None = None,
        policy: Policy = "disconnect",
        broker: Broker | str | None = None,
        history: Mapping[str, History] | None = None,
        presence: Mapping[str, Level] | None = None,
    ) -> None:
        if broker is None:
            broker = os.environ.get("FASTWS_BROKER", "memory://")
        self.broker_url = broker if isinstance(broker, str) else None
        if isinstance(broker, str):
            broker = broker_at(broker, limits or server_limits())
        self.rooms = Rooms(broker, history, presence, limits or server_limits())
        self.metrics = Metrics(self.rooms)
        self._ready = True
        self._auth = auth
        self._origins = origins or OriginCheck()
        self._limits = limits
        self._policy: Policy = policy
        self._websockets: Routes[_Route] = Routes()
        self._pages: Routes[Page] = Routes()
        self._lifespan: Lifespan | None = None
        self._on_drain: OnDrain | None = None
        self._pages.add("/healthz", _healthz)
        self._pages.add("/readyz", self._readyz)
        self._pages.add("/metrics", self._tell_metrics)

    @property
    def ready(self) -> bool:
        """Whether ``/readyz`` says so; never while the broker is not connected."""
        return self._ready and self.rooms.broker.connected

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._ready = ready

    # What it is made of.

    def websocket(
        self,
        path: str,
        *,
        messages: Any = None,
        formats: Sequence[Callable[[Any], Codec]] = (JsonCodec, MessagePackCodec),
        limits: Limits | None = None,
        policy: Policy | None = None,
    ) -> Callable[[H], H]:
        """Makes a function the handler of a path, such as ``/rooms/{room}``.

        The handler is called before the accept. What it raises becomes the HTTP answer or the
        close code; see `WebSocket`.

        Args:
            path: with parameters in braces, each for one segment.
            messages: a `Message` or a union of several, which the client sends; None for plain
                text and binary.
            formats: how they travel. A client chooses one by its subprotocol, ``json`` or
                ``msgpack``; the first is for those that do not.
            limits: what a connection may cost.
            policy: what becomes of messages to members who do not read.
        """

        def add(handler: H) -> H:
            codecs = [] if messages is None else _codecs(messages, formats)
            self.rooms.codecs |= {codec.subprotocol: codec for codec in codecs or [PLAIN]}
            own = limits or self._limits
            admission = Admission(own or server_limits())
            route = _Route(handler, codecs, own, policy or self._policy, admission)
            self._websockets.add(path, route)
            return handler

        return add

    def get(self, path: str) -> Callable[[P], P]:
        """Makes a function the page at a path: ``async def page(request)``.

        It returns a str for HTML, bytes, a `Response`, or what is to become JSON.
        """

        def add(page: P) -> P:
            self._pages.add(path, page)
            return page

        return add

    def page(self, path: str, file: Path) -> None:
        """Serves a file of HTML, which is read now."""
        response = Response(file.read_bytes(), HTML)

        async def page(_: Request) -> Response:
            return response

        self._pages.add(path, page)

    def lifespan(self, manager: Lifespan) -> Lifespan:
        """Makes an async context manager what runs around everything.

        Before the first connection and after the last; what it yields, a dict or None, is in
        ``scope["state"]``.
        """
        self._lifespan = manager
        return manager

    def on_drain(self, hook: OnDrain) -> OnDrain:
        """Makes an async function what runs when the process is told to end, before clients are.

        ``/readyz`` is red by then, and no upgrade gets in. It has `Limits.drain_window`; what it
        takes of that is lost to the clients, who are closed in the rest. What it raises is logged.
        Only ``fastws run`` calls it: other servers do not say that they are about to end.
        """
        self._on_drain = hook
        return hook

    def auth(self, ws: WebSocket[Any], claims: type[C]) -> C:
        """Checks the token that came with the handshake; gives what it says.

        Args:
            ws: before the accept.
            claims: a msgspec struct.

        Raises:
            HandshakeError: 401 or 403; 429 if the user has too many connections.
        """
        said: C = self._need_auth()(ws, claims)
        if ws.verified.subject is not None:
            ws.identify(ws.verified.subject)
        return said

    def refresh(self, ws: WebSocket[Any], token: str, claims: type[C]) -> C:
        """Goes on with a new token, which came in a message; gives what it says.

        Raises:
            ProtocolError: 4401 or 1008. Not caught, it ends the connection.
        """
        renewed: C = self._need_auth().refresh(ws, token, claims)
        return renewed

    def _need_auth(self) -> Any:
        if self._auth is None:
            raise RuntimeError("there is nothing to check tokens with: App(auth=JWT(...))")
        return self._auth

    # What a server calls.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a connection, a request, or the process's lifespan."""
        match scope["type"]:
            case "websocket":
                await self._serve_websocket(scope, receive, send)
            case "http":
                await self._serve_page(scope, send)
            case "lifespan":
                await self._live(scope, receive, send)
            case kind:
                raise RuntimeError(f"an unknown kind of ASGI scope: {kind!r}")

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, params = self._websockets.match(scope) or (_NOWHERE, {})
        ws: WebSocket[Any] = WebSocket(
            scope,
            receive,
            send,
            codecs=route.codecs,
            limits=route.limits,
            rooms=self.rooms,
            policy=route.policy,
        )
        ws.path_params, ws.admission = params, route.admission
        ws.count_for(self.metrics.counters)
        admitted = False
        # No context managers: they would take a kilobyte of each idle connection.
        try:
            async with ws:
                self._origins.check(ws.headers, scope.get("scheme", "ws"))
                route.admission.admit(ws.client)
                admitted = True
                await route.handler(ws)
        finally:
            # It counts until the close is done, which may take a while.
            if admitted:
                route.admission.dismiss(ws.client)

    async def _serve_page(self, scope: Scope, send: Send) -> None:
        response = await self._answer(scope)
        await response.send(send, scope["method"] != "HEAD")

    async def _answer(self, scope: Scope) -> Response:
        found = self._pages.match(scope)
        if found is None:
            return Response(b"no such page\n", status=404)
        if scope["method"] not in ("GET", "HEAD"):
            return Response(b"only GET\n", status=405, headers=((b"allow", b"GET, HEAD"),))
        page, params = found
        try:
            try:
                return respond(await page(Request(scope, params)))
            except HandshakeError as error:
                return refusal(error)
        except Exception:
            logger.exception("the page for %s failed", name_of(scope))
            return Response(b"internal error\n", status=500)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The lifespan protocol: start-up, and shutdown."""
        await receive()
        phase = "startup"
        try:
            async with AsyncExitStack() as stack:
                await self._start(stack, scope)
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
                self.ready = False
        except Exception as error:
            logger.exception("the %s failed", phase)
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _drain(self) -> None:
        self.ready = False
        if self._on_drain is not None:
            await self._on_drain()

    async def _start(self, stack: AsyncExitStack, scope: Scope) -> None:
        await self.rooms.start()
        stack.push_async_callback(self.rooms.stop)
        if isinstance(self._auth, AbstractAsyncContextManager):
            await stack.enter_async_context(self._auth)
        if self._lifespan is not None:
            state = await stack.enter_async_context(self._lifespan(self))
            scope.get("state", {}).update(state or {})
        extension = (scope.get("extensions") or {}).get("fastws")
        if extension is not None:
            extension["on_drain"](self._drain)
        self.ready = True

    async def _tell_metrics(self, request: Request) -> Response:
        return self.metrics.respond(request.scope.get("extensions") or {})

    async def _readyz(self, _: Request) -> Response:
        return Response(b"ready\n") if self.ready else Response(b"not ready\n", status=503)


def _codecs(messages: Any, formats: Sequence[Callable[[Any], Codec]]) -> list[Codec]:
    try:
        return [codec(messages) for codec in formats]
    except TypeError as error:
        error.add_note("formats=(JsonCodec,) offers no MessagePack, which allows more as keys")
        raise


async def _refuse(_: WebSocket[Any]) -> None:
    raise HandshakeError(404, "no such WebSocket")


_NOWHERE = _Route(_refuse, (), None, "disconnect", Admission(Limits()))


async def _healthz(_: Request) -> Response:
    return Response(b"ok\n")
