"""An echo with fastws' own application layer."""

from fastws import App, WebSocket

app = App()


@app.websocket("/ws")
async def echo(ws: WebSocket[str | bytes]) -> None:
    """Send back what comes."""
    await ws.accept()
    async for message in ws:
        await ws.send(message)
