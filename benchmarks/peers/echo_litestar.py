"""Litestar's echo."""

from typing import Any

from litestar import Litestar, WebSocket, websocket


@websocket("/ws")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    """Send back whatever comes."""
    await socket.accept()
    async for text in socket.iter_data(mode="text"):
        await socket.send_text(text)


app = Litestar([echo], logging_config=None, openapi_config=None)
