"""The echo of `websockets` and its own server: `python echo_websockets.py PORT`."""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    """Send back whatever comes."""
    async for message in ws:
        await ws.send(message)


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    async with serve(echo, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
