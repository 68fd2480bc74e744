"""Litestar, with a plain handler; its listeners are in ``test_idioms``."""

from collections.abc import Iterable
from typing import Any

from litestar import Litestar, WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from tests.interop.frameworks.bare import lifespan
from tests.interop.programs import PROGRAMS
from tests.interop.serving import App


class LitestarSocket:
    """Litestar's ``WebSocket``."""

    gone = WebSocketDisconnect

    def __init__(
        self, socket: WebSocket[Any, Any, Any], seen: tuple[str | None, str | None, str | None]
    ):
        self.socket, self.scope, self.seen = socket, socket.scope, seen
        self.closing: tuple[int, str] | None = None

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self.socket.accept(subprotocol, encoded)

    async def receive(self) -> str | bytes:
        event: Any = await self.socket.receive()
        if event["type"] == "websocket.disconnect":
            self.closing = event["code"], event.get("reason") or ""
            raise WebSocketDisconnect(code=event["code"], detail="gone")
        data: str | bytes | None = event.get("text")
        return event["bytes"] if data is None else data

    async def send(self, data: str | bytes) -> None:
        await self.socket.send_data(data, "text" if isinstance(data, str) else "binary")

    async def close(self, code: int, reason: str) -> None:
        await self.socket.close(code, reason)

    async def refuse(self) -> None:
        await self.socket.close()

    async def respond(self, status: int, headers: dict[str, str], body: str) -> None:
        send: Any = self.socket.send  # it has no method for that
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "websocket.http.response.start", "status": status, "headers": encoded}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": body.encode()})


@websocket(["/{program:str}", "/{program:str}/{rest:str}"])
async def endpoint(socket: WebSocket[Any, Any, Any]) -> None:
    """Runs the program that the path names."""
    path = socket.path_params
    seen = path.get("rest"), socket.query_params.get("q"), socket.headers.get("x-test")
    await PROGRAMS[path["program"]](LitestarSocket(socket, seen))


def make() -> App:
    """Makes the app."""
    litestar: Any = Litestar([endpoint], openapi_config=None, logging_config=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (lifespan if scope["type"] == "lifespan" else litestar)(scope, receive, send)

    return app
