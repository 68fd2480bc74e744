"""What the workers run that are restarted: rooms with a history, and publishing once."""

from fastws import App, History, Message, RoomPosition, WebSocket

app = App(history={"kept/": History(count=10_000, ttl=120)})


class Enter(Message):
    position: RoomPosition


class Say(Message):
    room: str
    id: str


class Said(Message):
    id: str


class Taken(Message):
    """What was said is published, now or before."""

    id: str
    again: bool


class Ask(Message):
    """Asks to be answered when all has come that was published before."""


class Answer(Message):
    pass


@app.websocket("/chat", messages=Enter | Say | Ask)
async def talk(ws: WebSocket[Enter | Say | Ask]) -> None:
    """Everybody in a room gets what anybody in it says, who says it included."""
    await ws.accept()
    async for message in ws:
        match message:
            case Enter(position):
                await ws.resume(position)
            case Say(room, name):
                receipt = await app.rooms.publish(room, Said(name), message_id=name)
                await ws.send(Taken(name, receipt.duplicate))
            case Ask():
                await app.rooms.settled()
                await ws.send(Answer())
