"""Query parameters, checked before the accept: ``/connect?user_id=7&name=Ada``.

    fastws run fastws.examples.query:app

A parameter that is missing or wrong is a 400 that names it:

    curl -i "localhost:8000/connect?user_id=seven&name=Ada" -H "Upgrade: websocket" ...
    {"status": 400, "detail": "...user_id...", "parameter": "user_id"}
"""

from typing import Annotated

from msgspec import Meta, Struct

from fastws import App, WebSocket

app = App()


class ConnectParams(Struct):
    """Who connects.

    Attributes:
        user_id: a number from 1 on.
        name: what to call the user.
        tag: any number of words, ``tag=a&tag=b``.
    """

    user_id: Annotated[int, Meta(ge=1)]
    name: Annotated[str, Meta(min_length=1, max_length=32)]
    tag: list[str] = []


@app.websocket("/connect")
async def connect(ws: WebSocket[str | bytes]) -> None:
    """Greets by name, then echoes."""
    params = ws.query(ConnectParams)
    await ws.accept()
    await ws.send(f"Hello, {params.name} (user {params.user_id})")
    async for message in ws:
        await ws.send(message)
