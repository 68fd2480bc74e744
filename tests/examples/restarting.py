"""The chat on a server that is always about to restart."""

from typing import Any

from fastws.examples.chat import app as chat


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serves the page, and asks its WebSocket to come back in a minute."""
    if scope["type"] != "websocket":
        await chat(scope, receive, send)
        return
    await send({"type": "websocket.accept"})
    reason = "restarting retry_ms=60000"
    await send({"type": "websocket.close", "code": 1012, "reason": reason})
