"""Django Channels: a consumer, whose methods are called, drives the programs, which call."""

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from channels.exceptions import StopConsumer  # type: ignore[import-untyped]
from channels.generic.websocket import AsyncWebsocketConsumer  # type: ignore[import-untyped]
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from tests.interop.frameworks.bare import Gone, lifespan
from tests.interop.programs import PROGRAMS
from tests.interop.serving import App


class ChannelsSocket:
    """What a program can do with its consumer."""

    gone = Gone

    def __init__(self, consumer: "Consumer"):
        self.consumer, self.scope = consumer, consumer.scope
        self.closing: tuple[int, str] | None = None
        query = parse_qs(self.scope["query_string"].decode())
        header = dict(self.scope["headers"]).get(b"x-test", b"").decode("latin-1")
        rest = self.scope["url_route"]["kwargs"].get("rest")
        self.seen = rest, query.get("q", [None])[0], header or None

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self.consumer.accept(subprotocol, encoded)

    async def receive(self) -> str | bytes:
        self.consumer.hungry.set()
        event: str | bytes | tuple[int, str] = await self.consumer.inbox.get()
        if isinstance(event, tuple):
            self.closing = event
            raise Gone
        return event

    async def send(self, data: str | bytes) -> None:
        await self.consumer.send(**{"text_data" if isinstance(data, str) else "bytes_data": data})

    async def close(self, code: int, reason: str) -> None:
        await self.consumer.close(code, reason)

    async def refuse(self) -> None:
        await self.consumer.close()

    async def respond(self, status: int, headers: dict[str, str], body: str) -> None:
        send = self.consumer.base_send  # it has no method for that
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "websocket.http.response.start", "status": status, "headers": encoded}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": body.encode()})


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Runs the program that the path names, a step with each event that it is called for."""

    async def connect(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.hungry = asyncio.Event()
        program = PROGRAMS[self.scope["url_route"]["kwargs"]["program"]]
        self.program = asyncio.create_task(program(ChannelsSocket(self)))
        await self.step()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.inbox.put_nowait(bytes_data if text_data is None else text_data)
        await self.step()

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        self.inbox.put_nowait((message["code"], message.get("reason") or ""))
        await self.program
        await super().websocket_disconnect(message)

    async def step(self) -> None:
        """Waits until the program wants the next event, or ends."""
        wants = asyncio.create_task(self.hungry.wait())
        await asyncio.wait({wants, self.program}, return_when=asyncio.FIRST_COMPLETED)
        self.hungry.clear()
        wants.cancel()
        if self.program.done():
            self.program.result()
            raise StopConsumer


def make() -> App:
    """Makes the app."""
    if not settings.configured:
        settings.configure()
    consumer = Consumer.as_asgi()
    paths = "<str:program>", "<str:program>/<str:rest>"
    router = URLRouter([path(each, consumer) for each in paths])
    app: App = ProtocolTypeRouter({"websocket": router, "lifespan": lifespan})
    return app
