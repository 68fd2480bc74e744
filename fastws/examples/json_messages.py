"""Tagged JSON, each type of message a struct.

    fastws run fastws.examples.json_messages:app

On the wire: ``{"type": "Chat", "content": "hi"}``, ``{"type": "Join", "room": "a"}``. A message of
no known type, or with a field that is missing or wrong, is answered with an ``Error`` that says
where: ``{"type": "Error", "code": "...", "detail": "...", "path": "$.content"}``. A client that
offers the subprotocol ``msgpack`` gets and sends the same structs as MessagePack.
"""

from fastws import App, Message, WebSocket

app = App()


class Chat(Message):
    """Something said, to the rooms that were joined."""

    content: str


class Join(Message):
    """Lets the client be in one more room."""

    room: str


class Leave(Message):
    """Lets the client be in a room no more."""

    room: str


ClientMessage = Chat | Join | Leave


@app.websocket("/messages", messages=ClientMessage)
async def talk(ws: WebSocket[ClientMessage]) -> None:
    """Passes chat on to the rooms that the client is in."""
    await ws.accept()
    async for message in ws:
        match message:
            case Join(room):
                ws.join(room)
            case Leave(room):
                ws.leave(room)
            case Chat():
                for room in ws.rooms:
                    await ws.publish(room, message)
