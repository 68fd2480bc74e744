"""`python -m benchmarks.codec`: the codec alone, in this process, without a kernel or a loop.

Masked frames go in, an echo of each comes out: through `fastws.wire.Connection`, and through
`websockets`' sans-I/O protocol, which uvicorn's default is built on. For work on the codec; what
a server makes of it is what the table of `python -m benchmarks` says.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

from websockets.frames import Opcode as TheirOpcode
from websockets.protocol import OPEN, Protocol, Side

from benchmarks.servers import SERVER_CORE
from benchmarks.table import Ratios
from fastws.limits import Limits
from fastws.wire import Connection, Opcode, Role

Echo = Callable[[bytes], bytes]
# Name, payload, messages that one read brings.
SHAPES = (
    ("text, 64 B, 1 in a read", "x" * 64, 1),
    ("text, 64 B, 16 in a read", "x" * 64, 16),
    ("text, 1 KiB, not ASCII, 4 in a read", "é" * 512, 4),
    ("binary, 16 KiB, 1 in a read", bytes(range(256)) * 64, 1),
)


def fastws_echo() -> Echo:
    """From what a client sent to what it is to get, by fastws."""
    connection = Connection(Role.SERVER, Limits())

    def echo(data: bytes) -> bytes:
        connection.receive_data(data)
        while (event := connection.next_event()) is not None:
            if event[0] is Opcode.TEXT and isinstance(event[1], str):
                connection.send_text(event[1])
            elif event[0] is Opcode.BINARY and isinstance(event[1], bytes):
                connection.send_binary(event[1])
        return connection.data_to_send()

    return echo


def websockets_echo() -> Echo:
    """The same by `websockets`; text becomes `str` and bytes again, as ASGI wants it."""
    protocol = Protocol(Side.SERVER, state=OPEN)

    def echo(data: bytes) -> bytes:
        protocol.receive_data(data)
        for event in protocol.events_received():
            opcode = getattr(event, "opcode", None)
            payload = bytes(getattr(event, "data", b""))
            if opcode is TheirOpcode.TEXT:
                protocol.send_text(payload.decode().encode())
            elif opcode is TheirOpcode.BINARY:
                protocol.send_binary(payload)
        return b"".join(protocol.data_to_send())

    return echo


def client_bytes(payload: str | bytes, messages: int) -> bytes:
    """What a client sends, masked."""
    client = Connection(Role.CLIENT, Limits())
    for _ in range(messages):
        if isinstance(payload, str):
            client.send_text(payload)
        else:
            client.send_binary(payload)
    return client.data_to_send()


def messages_per_second(echo: Echo, data: bytes, messages: int, seconds: float) -> float:
    """How fast it is, by the CPU clock."""
    turns, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in range(100):
            echo(data)
        turns += 100
    return turns * messages / spent


def main() -> None:
    """Print a table like that of `python -m benchmarks`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codec", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="per round (%(default)s)")
    options = parser.parse_args()
    os.sched_setaffinity(0, {SERVER_CORE})
    print("| codec | fastws | websockets | ratio (min to max) |\n|---|---|---|---|")
    for name, payload, messages in SHAPES:
        data = client_bytes(payload, messages)
        ours, theirs = fastws_echo(), websockets_echo()
        if ours(data) != theirs(data):
            raise RuntimeError(f"the two codecs disagree: {name}")
        rates: tuple[list[float], list[float]] = ([], [])
        for _ in range(options.rounds):
            for echo, rate in zip((ours, theirs), rates, strict=True):
                rate.append(messages_per_second(echo, data, messages, options.seconds))
        costs = [f"{1e9 / median(rate):,.0f} ns" for rate in rates]
        print(f"| {name} | {costs[0]} | {costs[1]} | {Ratios.of(*rates)} |", flush=True)


if __name__ == "__main__":
    main()
