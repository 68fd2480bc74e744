"""A chat: rooms, who is in them, who is typing; and a page for it, chat.html.

    fastws run fastws.examples.chat:app

Open http://127.0.0.1:8000 in two windows. Programs connect to ``/chat?name=Ada`` and are in the
lobby, or to ``/chat?name=Ada&room=tea``, and speak tagged JSON: each class below is a message, in
either direction; ``{"type": "Chat", "content": "hi"}`` comes to the others in the room as
``{"type": "Said", "user": "Ada", "room": "tea", "content": "hi"}``. What cannot be done is
answered with ``{"type": "Error", "code": "...", "detail": "...", "path": "$.room"}``.
"""

from itertools import count
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from fastws import App, Error, Message, WebSocket

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

    room: Name


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


class Joined(Message):
    """Somebody has joined. The first one is about yourself: you may now be called "Ada 2"."""

    user: str
    room: str


class Left(Message):
    """Somebody else has left, or is gone."""

    user: str
    room: str


class Members(Message):
    """Who is in the room that you have joined, yourself included."""

    room: str
    users: list[str]


ClientMessage = Join | Leave | Chat | Typing

app = App()
app.page("/", Path(__file__).with_suffix(".html"))
users: dict[str, list[str]] = {}  # in which rooms everybody is, in the order of joining
numbers = count(2)


@app.websocket("/chat", messages=ClientMessage)
async def chat(ws: WebSocket[ClientMessage]) -> None:
    """Lets a visitor be in rooms, and talk there."""
    visitor = ws.query(Visitor)
    await ws.accept()
    user = visitor.name
    while user in users:
        user = f"{visitor.name} {next(numbers)}"
    rooms = users[user] = []
    try:
        await join(ws, user, visitor.room)
        async for message in ws:
            room = message.room or (rooms[-1] if rooms else "")
            match message:
                case Join():
                    await join(ws, user, room)
                case _ if room not in rooms:
                    await ws.send(Error("not_in_room", "you are not in that room", "$.room"))
                case Leave():
                    rooms.remove(room)
                    ws.leave(room)
                    await ws.publish(room, Left(user, room))
                case Chat(content):
                    await ws.publish(room, Said(user, room, content))
                case Typing():
                    await ws.publish(room, Typing(user, room))
    finally:
        for room in users.pop(user):
            await ws.publish(room, Left(user, room))


async def join(ws: WebSocket[ClientMessage], user: str, room: str) -> None:
    """Lets somebody be in a room, and tells everyone there."""
    if room not in users[user]:
        ws.join(room)
        users[user].append(room)
        await app.rooms.publish(room, Joined(user, room))
        await ws.send(Members(room, [name for name, rooms in users.items() if room in rooms]))
