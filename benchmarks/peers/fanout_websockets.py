"""The fan-out of `websockets`: `python fanout_websockets.py PORT`, on uvloop, as the others."""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def talk(ws: ServerConnection) -> None:
    """One room."""
    members.add(ws)
    async for message in ws:
        broadcast(members - {ws}, message)
    members.discard(ws)


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    async with serve(talk, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
