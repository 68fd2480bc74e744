"""Apps in bare ASGI, right ones and wrong ones."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from fastws.testing.call import App, Event, Receive, Scope, Send

ACCEPT: Event = {"type": "websocket.accept"}


class Chat(msgspec.Struct, tag="Chat"):
    content: str


class Said(msgspec.Struct, tag="Said"):
    user: str
    content: str


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends every message back until the client leaves."""
    await receive()
    await send(ACCEPT)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def accepting(act: Callable[[Receive, Send], Awaitable[Any]], **fields: Any) -> App:
    """Makes an app that accepts, then acts."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT | fields)
        await act(receive, send)

    return app


def sending(*events: Event, **fields: Any) -> App:
    """Makes an app that accepts, sends, and waits for the end."""

    async def act(receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return accepting(act, **fields)


def text(message: str) -> Event:
    return {"type": "websocket.send", "text": message}
