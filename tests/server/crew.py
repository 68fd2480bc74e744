"""An app that says which worker it runs in; for several of them."""

import os
from pathlib import Path

from tests.server.serving import Event, Receive, Scope, Send, echo

# Whoever starts while this file is there has something to say against it.
OBSTACLE = Path(os.environ.get("OBSTACLE", "/nowhere"))


def start() -> Event:
    """Gives the answer to the startup of the lifespan."""
    if OBSTACLE.exists():
        return {"type": "lifespan.startup.failed", "message": "there is an obstacle"}
    return {"type": "lifespan.startup.complete"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the process id, and echoes; `OBSTACLE` keeps it from starting."""
    if scope["type"] == "lifespan":
        await receive()
        await send(start())
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        body = str(os.getpid()).encode()
        headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
