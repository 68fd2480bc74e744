"""What the client is tested against, on our own server."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

REFUSAL = {"type": "websocket.http.response.start", "status": 401}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Does what the path says with a WebSocket."""
    if scope["type"] != "websocket":
        return
    await receive()
    query = {key: value[0] for key, value in parse_qs(scope["query_string"].decode()).items()}
    match scope["path"]:
        case "/echo":
            await send({"type": "websocket.accept", "subprotocol": query.get("subprotocol")})
            while (event := await receive())["type"] == "websocket.receive":
                await send({**event, "type": "websocket.send"})
        case "/request":
            await send({"type": "websocket.accept", "headers": [(b"x-answer", b"42")]})
            lines = [f"{scope['scheme']} {scope['query_string'].decode()}"]
            lines += [f"{name.decode()}: {value.decode()}" for name, value in scope["headers"]]
            await send({"type": "websocket.send", "text": "\n".join(lines)})
        case "/close":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "last"})
            close = {"code": int(query["code"]), "reason": query.get("reason")}
            await send({"type": "websocket.close", **close})
        case "/vanish":
            await send({"type": "websocket.accept"})
            scope["extensions"]["fastws"]["connection"].abort()
        case "/hold":
            await asyncio.Event().wait()
        case "/refuse":
            await send({**REFUSAL, "headers": [(b"www-authenticate", b"Basic")]})
            await send({"type": "websocket.http.response.body", "body": b"x" * int(query["size"])})
        case _:
            await send({"type": "websocket.close"})
