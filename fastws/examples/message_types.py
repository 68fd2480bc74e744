"""All that a client can do, one type each: text, binary, ping, pong, close.

    fastws run fastws.examples.message_types:app

Pings are answered by the server; on our server a handler sees them all the same.
"""

import logging

from fastws import App, WebSocket
from fastws.app import Binary, Close, Ping, Pong, Text

logger = logging.getLogger("uvicorn.error")

app = App()


@app.websocket("/types")
async def types(ws: WebSocket[str | bytes]) -> None:
    """Says what it got."""
    await ws.accept()
    async for event in ws.events():
        match event:
            case Text(text):
                await ws.send(f"You said: {text}")
            case Binary(data):
                await ws.send(data)
            case Ping(data):
                await ws.send(f"Ping of {len(data)} bytes, answered")
            case Pong():
                await ws.send("Pong received")
            case Close(code, reason):
                logger.info("closed: %d %r", code, reason)
