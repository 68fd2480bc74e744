"""Typed messages with fastws: decode one of a union, validate it, answer with another struct."""

from fastws import App, Message, WebSocket


class Chat(Message):
    content: str


class Join(Message):
    room: str


class Leave(Message):
    room: str


class Said(Message):
    user: str
    content: str


class Joined(Message):
    room: str


class Left(Message):
    room: str


app = App()


@app.websocket("/ws", messages=Chat | Join | Leave)
async def talk(ws: WebSocket[Chat | Join | Leave]) -> None:
    """Answer each message with what it came to."""
    await ws.accept()
    async for message in ws:
        match message:
            case Chat():
                await ws.send(Said("ada", message.content))
            case Join():
                await ws.send(Joined(message.room))
            case Leave():
                await ws.send(Left(message.room))
