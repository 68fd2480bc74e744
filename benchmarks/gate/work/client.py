"""The client: connections to a server that is only acted."""

from collections import deque

from benchmarks.gate.stage import Client, Transport
from benchmarks.gate.work import READS, Run
from fastws import connect
from fastws.testing.frames import CLOSE, TEXT, frame

URL = "ws://127.0.0.1:8000/ws?token=abc"


async def echo() -> None:
    """Connect, and send back what the server sends."""
    ws = await connect(URL)
    async for message in ws:
        await ws.send(message)


def connecting() -> Run:
    """Connect, and be closed by the server."""
    client = Client()
    client.start(echo, 4)
    client.turns(lambda: None)(4)
    closing: deque[Transport] = deque([client.opened.popleft()])
    data = frame(CLOSE, (1000).to_bytes(2, "big"), mask=None)

    def step() -> None:
        closing.popleft().close()
        closing.append(client.opened.popleft())
        closing[0].read(data)
        client.start(echo, 1)

    return client.turns(step)


def echo_one() -> Run:
    """Echo 64 bytes, one message in a read."""
    client = Client()
    client.start(echo, READS)
    client.turns(lambda: None)(4)
    data = frame(TEXT, b"x" * 64, mask=None)

    def step() -> None:
        for transport in client.opened:
            transport.read(data)

    return client.turns(step)
