"""A chat: rooms, who is in them, who is typing; and a page for it, chat.html.

    fastws run fastws.examples.chat:app

Open http://127.0.0.1:8000 in two windows. Programs connect to ``/chat?name=Ada`` and are in the
lobby, or to ``/chat?name=Ada&room=tea``, and speak tagged JSON: each class below is a message, in
either direction; ``{"type": "Chat", "content": "hi"}`` comes to the others in the room as
``{"type": "Said", "user": "Ada", "room": "tea", "content": "hi"}``. What cannot be done is
answered with ``{"type": "Error", "code": "...", "detail": "...", "path": "$.room"}``.

Who comes and goes the others are told by fastws itself, in all workers: ``{"type": "Joined",
"room": "tea", "id": "5f...", "data": "Ada"}``, ``{"type": "Left", "room": "tea", "id": "5f..."}``.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from fastws import App, Error, Message, Present, WebSocket

# No control characters, and none that turn around what is written next to them.
LINE = r"\A(?!\s)[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+\Z"
Name = Annotated[str, Meta(min_length=1, max_length=32, pattern=LINE)]


class Visitor(Struct):
    """What the query says: who comes, and where to."""

    name: Name = "Guest"
    room: Name = "lobby"


class Join(Message):
    """Be in one more room."""

    room: Name


class Leave(Message):
    """Be in a room no more."""

    room: Name | None = None


class Chat(Message):
    """Say something in a room; without one, in that which was joined last."""

    content: Annotated[str, Meta(min_length=1, max_length=2000)]
    room: Name | None = None


class Typing(Message):
    """Somebody is about to say something; goes where `Chat` goes, and is sent to the others."""

    user: str | None = None
    room: Name | None = None


class Said(Message):
    """What somebody else has said."""

    user: str
    room: str
    content: str


class Members(Message):
    """Who is in the room that you have joined, and which of them you are."""

    room: str
    you: str
    present: list[Present]


ClientMessage = Join | Leave | Chat | Typing

app = App(presence={"": "events"})
app.page("/", Path(__file__).with_suffix(".html"))


@app.websocket("/chat", messages=ClientMessage)
async def chat(ws: WebSocket[ClientMessage]) -> None:
    """Lets a visitor be in rooms, and talk there."""
    visitor = ws.query(Visitor)
    await ws.accept()
    rooms: list[str] = []  # in the order of joining
    await join(ws, visitor.name, visitor.room, rooms)
    async for message in ws:
        room = message.room or (rooms[-1] if rooms else "")
        match message:
            case Join():
                await join(ws, visitor.name, room, rooms)
            case _ if room not in rooms:
                await ws.send(Error("not_in_room", "you are not in that room", "$.room"))
            case Leave():
                rooms.remove(room)
                ws.leave(room)
            case Chat(content):
                await ws.publish(room, Said(visitor.name, room, content))
            case Typing():
                await ws.publish(room, Typing(visitor.name, room))


async def join(ws: WebSocket[ClientMessage], name: str, room: str, rooms: list[str]) -> None:
    """Lets somebody be in a room, and tells who is there."""
    if room not in rooms:
        ws.join(room, data=name)
        rooms.append(room)
        await ws.send(Members(room, ws.id, await app.rooms.presence(room)))
