"""An echo server in plain ASGI: `make run`, then open http://127.0.0.1:8080."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PAGE = Path(__file__).with_suffix(".html").read_bytes()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves a page at ``/`` and echoes what comes to ``/ws``."""
    match scope["type"], scope.get("path"):
        case "websocket", "/ws":
            await echo(receive, send)
        case "websocket", _:
            await respond(send, "websocket.http.response", 404, b"no such WebSocket\n")
        case "http", "/":
            await respond(send, "http.response", 200, PAGE, b"text/html; charset=utf-8")
        case "http", _:
            await respond(send, "http.response", 404, b"no such page\n")
        case "lifespan", _:
            await lifespan(receive, send)


async def echo(receive: Receive, send: Send) -> None:
    """Sends every message back until the client leaves."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def respond(
    send: Send, kind: str, status: int, body: bytes, content_type: bytes = b"text/plain"
) -> None:
    """Answers with one HTTP response, be it to a request or to a refused WebSocket."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


async def lifespan(receive: Receive, send: Send) -> None:
    """Has nothing to start and nothing to stop, and says so."""
    for _ in range(2):
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
