"""Fan-out with picows: `python fanout_picows.py PORT`, a loop of sends."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

members: set[WSTransport] = set()


class Member(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        """Enter the one room."""
        members.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave it."""
        members.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send to all others."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        message = frame.get_payload_as_bytes()
        for member in members:
            if member is not transport:
                member.send(frame.msg_type, message)


def listen(_request: WSUpgradeRequest) -> Member:
    """Say who looks after a connection."""
    return Member()


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    server = await ws_create_server(listen, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
