"""A bare ASGI app that lets only the owners of a token in, and echoes their messages."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastws.app import bearer
from fastws.app.auth import JWT
from fastws.errors import HandshakeError
from tests.app.tokens import SECRET, Claims

Event = MutableMapping[str, Any]
auth = JWT(SECRET, algorithms=["HS256"])


async def app(
    scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
) -> None:
    """Answers a handshake by what its token says; serves an empty page."""
    kind = scope["type"]
    if kind == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
    if kind != "websocket":
        return
    await receive()
    try:
        user = auth.authenticate(scope, Claims).claims.sub
    except HandshakeError as error:
        denial = {"status": error.status, "headers": error.headers}
        await send({"type": "websocket.http.response.start", **denial})
        body = error.reason.encode()
        await send({"type": "websocket.http.response.body", "body": body})
        return
    subprotocol = bearer.accepted_subprotocol(scope)
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{user}: {event['text']}"})
