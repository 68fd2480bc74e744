"""Starlette; FastAPI uses its ``WebSocket``, so its programs run on `StarletteSocket` too."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.interop.programs import PROGRAMS
from tests.interop.serving import App

Seen = tuple[str | None, str | None, str | None]


class StarletteSocket:
    """Starlette's ``WebSocket``."""

    gone = WebSocketDisconnect

    def __init__(self, ws: WebSocket, seen: Seen):
        self.ws, self.scope, self.seen = ws, ws.scope, seen
        self.closing: tuple[int, str] | None = None

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self.ws.accept(subprotocol, encoded)

    async def receive(self) -> str | bytes:
        event = await self.ws.receive()
        if event["type"] == "websocket.disconnect":
            self.closing = event["code"], event.get("reason") or ""
            raise WebSocketDisconnect(*self.closing)
        data: str | bytes | None = event.get("text")
        return event["bytes"] if data is None else data

    async def send(self, data: str | bytes) -> None:
        await (self.ws.send_text(data) if isinstance(data, str) else self.ws.send_bytes(data))

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code, reason)

    async def refuse(self) -> None:
        await self.ws.close()

    async def respond(self, status: int, headers: dict[str, str], body: str) -> None:
        await self.ws.send_denial_response(PlainTextResponse(body, status, headers))


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
    """Puts the greeting into the state."""
    yield {"greeting": "hello"}


async def endpoint(ws: WebSocket) -> None:
    """Runs the program that the path names."""
    seen = ws.path_params.get("rest"), ws.query_params.get("q"), ws.headers.get("x-test")
    await PROGRAMS[ws.path_params["program"]](StarletteSocket(ws, seen))


def make() -> App:
    """Makes the app."""
    paths = "/{program}", "/{program}/{rest}"
    return Starlette(routes=[WebSocketRoute(path, endpoint) for path in paths], lifespan=lifespan)
