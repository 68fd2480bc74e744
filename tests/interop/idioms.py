"""The frameworks' own ways to write a WebSocket, beyond a handler that receives and sends."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import quart
from channels.generic.websocket import (  # type: ignore[import-untyped]
    AsyncJsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import URLRouter  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from fastapi import Depends, FastAPI, HTTPException, Query, WebSocketException
from fastapi import WebSocket as FastAPIWebSocket
from litestar import Litestar, WebSocket, websocket_listener, websocket_stream
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.handlers import WebsocketListener
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket as StarletteWebSocket

from tests.interop.serving import App
from tests.interop.stage import Stage

# Starlette.


class Counter(WebSocketEndpoint):
    encoding = "json"

    async def on_connect(self, websocket: StarletteWebSocket) -> None:
        self.total = 0
        await websocket.accept()

    async def on_receive(self, websocket: StarletteWebSocket, data: Any) -> None:
        self.total += data["add"]
        await websocket.send_json({"total": self.total})

    async def on_disconnect(self, websocket: StarletteWebSocket, close_code: int) -> None:
        Stage.of(dict(websocket.scope)).report((self.total, close_code))


async def iterated(websocket: StarletteWebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message.upper())
    Stage.of(dict(websocket.scope)).report("the iteration has ended")


def starlette() -> App:
    routes = [WebSocketRoute("/counter", Counter), WebSocketRoute("/iterated", iterated)]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"])
    return Starlette(routes=[*routes, Route("/page", Counter)], middleware=[hosts])


# FastAPI.


async def user(token: Annotated[str | None, Query()] = None) -> str:
    if token is None:
        raise WebSocketException(1008, "no token")
    if token == "wrong":
        raise HTTPException(401, "wrong token")
    return token


async def greet(
    websocket: FastAPIWebSocket, name: Annotated[str, Depends(user)], times: int = 1
) -> None:
    await websocket.accept()
    for _ in range(times):
        await websocket.send_json({"hello": name})
    raise WebSocketException(1008, "enough")


def fastapi() -> App:
    app = FastAPI()
    app.add_api_websocket_route("/greet", greet)
    return app


# Litestar.


@websocket_listener("/listener")
async def listener(data: dict[str, Any]) -> dict[str, Any]:
    return {"ordered": data["item"] * data["count"]}


class Listener(WebsocketListener):
    path = "/class"

    def on_accept(self, socket: WebSocket[Any, Any, Any]) -> None:
        Stage.of(dict(socket.scope)).report("accepted")

    def on_disconnect(self, socket: WebSocket[Any, Any, Any]) -> None:
        Stage.of(dict(socket.scope)).report("disconnected")

    async def on_receive(self, data: str) -> str:
        return data[::-1]


@websocket_stream("/stream")
async def stream(socket: WebSocket[Any, Any, Any]) -> AsyncGenerator[int, None]:
    stage = Stage.of(dict(socket.scope))
    try:
        for number in range(3):
            yield number
        await asyncio.Event().wait()
    finally:
        stage.report("the stream has ended")


def litestar() -> App:
    plugin = ChannelsPlugin(
        MemoryChannelsBackend(), channels=["news"], create_ws_route_handlers=True
    )

    @websocket_listener("/publish")
    async def publish(data: str) -> str:
        await plugin.wait_published(data, "news")
        return "published"

    handlers: list[Any] = [listener, Listener, stream, publish]
    app: Any = Litestar(handlers, plugins=[plugin], openapi_config=None, logging_config=None)
    return app  # type: ignore[no-any-return]


# Channels.


class Chat(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    groups = ("chat",)

    async def connect(self) -> None:
        await self.accept()
        await self.send_json({"ready": True})

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.channel_layer.group_send("chat", {"type": "chat.message", "text": content})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send_json({"said": event["text"]})


class Threaded(WebsocketConsumer):  # type: ignore[misc]
    """A consumer that is no coroutine: each event is handled in a thread."""

    def connect(self) -> None:
        self.accept()
        self.send("hello from a thread")

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "bye":
            self.close(4003, "as you wish")
        else:
            self.send(text_data, bytes_data)

    def disconnect(self, code: int) -> None:
        Stage.of(self.scope).report(code)


def channels() -> App:
    if not settings.configured:
        settings.configure()
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    router: App = URLRouter([path("chat", Chat.as_asgi()), path("threaded", Threaded.as_asgi())])
    return router


# Quart.


def quart_app() -> App:
    app = quart.Quart(__name__)

    @app.before_websocket
    async def authorise() -> tuple[str, int] | None:
        allowed = "token" in quart.websocket.args
        return None if allowed else ("who are you?", 401)

    @app.websocket("/two-tasks")
    async def two_tasks() -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def receiving() -> None:
            while True:
                await queue.put(await quart.websocket.receive_json())

        async def sending() -> None:
            while True:
                await quart.websocket.send_json(await queue.get())

        await asyncio.gather(
            quart.copy_current_websocket_context(receiving)(),
            quart.copy_current_websocket_context(sending)(),
        )

    asgi: App = app
    return asgi
