"""What the workers run to which things happen."""

import os

from fastws import App, BrokerUnavailable, Message, WebSocket

app = App()


class Join(Message):
    room: str


class Joined(Message):
    worker: int


class Say(Message):
    content: str


class Said(Message):
    content: str


class Unavailable(Message):
    """What was said has not been published."""


@app.websocket("/ws", messages=Join | Say)
async def talk(ws: WebSocket[Join | Say]) -> None:
    """Everybody in a room gets what anybody in it says, who says it included."""
    await ws.accept()
    async for message in ws:
        try:
            match message:
                case Join(room):
                    ws.join(room)
                    await app.rooms.settled()
                    await ws.send(Joined(os.getpid()))
                case Say(content):
                    for room in ws.rooms:
                        await app.rooms.publish(room, Said(content))
        except BrokerUnavailable:
            await ws.send(Unavailable())
