"""An echo, with a page to try it.

    fastws run fastws.examples.echo:app

Open http://127.0.0.1:8000, or connect to ``/ws``.
"""

from pathlib import Path

from fastws import App, WebSocket

app = App()
app.page("/", Path(__file__).with_suffix(".html"))


@app.websocket("/ws")
async def echo(ws: WebSocket[str | bytes]) -> None:
    """Sends every message back, text as text and binary as binary."""
    await ws.accept()
    async for message in ws:
        await ws.send(message)
