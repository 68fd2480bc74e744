"""The echo of socketify, uWebSockets from Python: `python echo_socketify.py PORT`."""

import sys

from socketify import App, AppListenOptions, OpCode, WebSocket


def echo(ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
    """Send back whatever comes."""
    ws.send(message, opcode)


if __name__ == "__main__":
    app = App()
    app.ws("/ws", {"message": echo, "compression": 0})
    app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
    app.run()
