"""FastAPI's echo."""

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def echo(ws: WebSocket) -> None:
    """Send back whatever comes."""
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)
