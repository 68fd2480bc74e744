"""JSON Web Tokens: who has none, or a bad one, gets 401 before the accept.

    export SECRET=$(openssl rand -hex 32)
    fastws run fastws.examples.auth:app
    python -c "import jwt, os, time; print(jwt.encode(
        {'sub': 'ada', 'exp': time.time() + 3600}, os.environ['SECRET'], 'HS256'))"

The token comes in the ``Authorization`` header, or, from a browser, as a subprotocol:
``new WebSocket(url, ["bearer", token])``. When it expires the connection is closed with 4401,
unless the client has sent a new one in a ``Refresh``.
"""

import os
import secrets

from msgspec import Struct

from fastws import App, Message, WebSocket
from fastws.app.auth import JWT

SECRET = os.environ.get("SECRET") or secrets.token_hex(32)

app = App(auth=JWT(SECRET, algorithms=["HS256"]))


class Claims(Struct):
    """What a token has to say."""

    sub: str


class Say(Message):
    """Something said."""

    content: str


class Refresh(Message):
    """A new token."""

    token: str


@app.websocket("/private", messages=Say | Refresh)
async def private(ws: WebSocket[Say | Refresh]) -> None:
    """Echoes, with the user's name."""
    claims = app.auth(ws, Claims)
    await ws.accept()
    async for message in ws:
        match message:
            case Say(content):
                await ws.send(Say(f"{claims.sub}: {content}"))
            case Refresh(token):
                claims = app.refresh(ws, token, Claims)
