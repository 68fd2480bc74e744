"""What the workers of a cluster run."""

import os

from fastws import App, WebSocket

app = App()


@app.websocket("/rooms/{room}")
async def talk(ws: WebSocket[str]) -> None:
    """Everybody in a room gets what anybody in it says, who says it included.

    The first message tells in which worker this is, once nothing is missed any more. "?" is
    answered when all has come that was published before.
    """
    await ws.accept()
    room = ws.path_params["room"]
    ws.join(room)
    await app.rooms.settled()
    await ws.send(str(os.getpid()))
    async for text in ws:
        if text == "?":
            await app.rooms.settled()
            await ws.send("!")
        else:
            await app.rooms.publish(room, text)
