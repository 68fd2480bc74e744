"""The server under test: an ASGI app that echoes, under uvicorn on an inherited socket."""

import argparse
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

Event = dict[str, Any]

PROTOCOLS = {
    "fastws": {"http": "fastws.server:HttpProtocol", "ws": "fastws.server:WebSocketProtocol"},
    # uvicorn's own WebSocket: known to be less strict, so it shows that the gate can fail.
    "control": {"http": "httptools", "ws": "websockets-sansio"},
}


async def app(
    scope: Event,
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
) -> None:
    """Sends every message back as it came."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        try:
            await send({**event, "type": "websocket.send"})
        except OSError:  # the peer has gone
            return


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True, help="a listening TCP socket")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], required=True)
    parser.add_argument("--protocols", choices=PROTOCOLS, required=True)
    options = parser.parse_args()
    config = uvicorn.Config(
        app,
        loop=options.loop,
        lifespan="off",
        access_log=False,
        **PROTOCOLS[options.protocols],  # type: ignore[arg-type]
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.fd)])


if __name__ == "__main__":
    main()
