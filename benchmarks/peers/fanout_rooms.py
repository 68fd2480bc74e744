"""The fan-out of fastws, on any ASGI server: whatever a client sends, all others get."""

from fastws import WebSocket
from fastws.app.portable import Receive, Scope, Send
from fastws.rooms import Rooms

rooms = Rooms()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One room."""
    async with WebSocket[str](scope, receive, send, rooms=rooms) as ws:
        await ws.accept()
        ws.join("room")
        async for message in ws:
            await ws.publish("room", message)
