"""Rooms by path: ``/rooms/{room}``.

    fastws run fastws.examples.rooms:app

Whatever a client sends goes to all others who are in the same room. A room is there while it has
members; a client that leaves, whatever way, has left its room.
"""

from fastws import App, WebSocket

app = App()


@app.websocket("/rooms/{room}")
async def talk(ws: WebSocket[str | bytes]) -> None:
    """Passes on what it gets."""
    room = ws.path_params["room"]
    await ws.accept()
    ws.join(room)
    async for message in ws:
        await ws.publish(room, message)
