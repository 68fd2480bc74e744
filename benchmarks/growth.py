"""`python -m benchmarks.growth`: how work grows with what a peer sends (threats T5 and G6).

Instructions, counted by valgrind in a process of its own for each size: they are the same on every
machine and at any load, so what is linear is seen to be. The growth from 2n to 4n, by that from n
to 2n, is 2 if work is linear and 4 if it grows with the square; above 2.4 the exit code is 1.
"""

import argparse
import asyncio
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import uvicorn

from fastws.limits import Limits
from fastws.server import Config, HttpProtocol
from fastws.server.requests import HttpRequests
from fastws.wire import Compression, Connection, Deflate, Params, Role
from fastws.wire.deflate import negotiate
from fastws.wire.handshake import parse_request
from fastws.wire.prepared import PreparedMessage

MOST = 2.4
KEY = b"\0\0\0\0"
OFF = Limits(
    max_message_size=None,
    max_frame_size=None,
    max_wire_size=None,
    max_tiny_fragments=None,
    max_ping_rate=None,
    max_unsent=1 << 30,
)
SHARED = Params(False, False, 15, 15)


def frame(first: int, payload: bytes) -> bytes:
    """Builds a short frame of a client."""
    return bytes((first, 0x80 | len(payload))) + KEY + payload


def receive(data: bytes, times: int, start: bytes, end: bytes) -> None:
    """Has a server read something again and again, each time by itself."""
    compression = Compression(SHARED, Deflate(), True)
    connection = Connection(Role.SERVER, OFF, compression)
    connection.receive_data(start)
    for _ in range(times):
        connection.receive_data(data)
    connection.receive_data(end)
    if connection.next_event() is None:
        raise RuntimeError("no message came of it")


def fragments(n: int) -> None:
    """Fragments of 16 bytes."""
    receive(frame(0, b"x" * 16), n, frame(2, b""), frame(0x80, b""))


def characters(n: int) -> None:
    """Characters of three bytes, cut by the ends of fragments."""
    receive(
        frame(0, b"\x82\xac\xe2"), n, frame(1, b"\xe2"), frame(0, b"\x82\xac") + frame(0x80, b"")
    )


def bytes_of_a_frame(n: int) -> None:
    """Reads of one byte of a frame."""
    start = bytes((0x82, 0xFF)) + (n + 65536).to_bytes(8, "big") + KEY
    receive(b"x", n, start, b"x" * 65536)


def empty_blocks(n: int) -> None:
    """Empty blocks in a compressed message."""
    stream = zlib.compressobj(wbits=-15)
    payload = stream.flush(zlib.Z_SYNC_FLUSH) * n + b"\x00"
    head = bytes((0xC2, 0xFF)) + len(payload).to_bytes(8, "big") + KEY
    receive(b"", 0, b"", (head + payload) if len(payload) > 65535 else b"")


def pings(n: int) -> None:
    """Pings inside of a message."""
    receive(frame(0x89, b"x"), n, frame(2, b""), frame(0x80, b""))


def bytes_of_a_head(n: int) -> None:
    """Bytes of a request head, one by one."""
    limits = Limits(max_header_size=1 << 30)
    loop = asyncio.new_event_loop()
    config = Config(fragments, limits=limits, lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    requests = HttpRequests(config, server.server_state, {}, loop)
    requests.connection_made(Transport())  # type: ignore[arg-type]
    for byte in b"GET / HTTP/1.1\r\nx: " + b"y" * n:
        requests.data_received(bytes((byte,)))
    loop.close()


class Transport:
    """A transport that only has to be there."""

    def get_extra_info(self, name: str) -> None:
        """Knows nothing."""

    def is_closing(self) -> bool:
        """Never closes."""
        return False


def extensions(n: int) -> None:
    """Parameters of an extension."""
    negotiate(b"permessage-deflate" + b"; a=b" * n, Deflate())
    negotiate(b"b;" * n, Deflate())


def headers(n: int) -> None:
    """Headers of a handshake."""
    lines = b"sec-websocket-protocol: a, b\r\n" * n
    parse_request(
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        + lines
        + b"\r\n",
        n + 10,
    )


def unsent(n: int) -> None:
    """Frames that wait for a client that does not read, until it reads."""
    asyncio.run(_send_and_read(n))


async def _send_and_read(n: int) -> None:
    loop = asyncio.get_running_loop()
    message = PreparedMessage(b"x" * 8)
    connections: list[Any] = []
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connection = scope["extensions"]["fastws"]["connection"]
        connections.append(connection)
        await receive()
        await send({"type": "websocket.accept"})
        while not connection.write_buffer_size:
            await send({"type": "websocket.send", "bytes": b"x" * 100_000})
        for _ in range(n):
            connection.send_prepared(message)
        waiting.set()
        await receive()

    config = Config(app, limits=OFF, lifespan="off", log_config=None, log_level="error")
    config.load()
    server = uvicorn.Server(config)
    theirs, ours = socket.socketpair()
    theirs.setblocking(False)
    protocol = HttpProtocol(config, server.server_state, {}, loop)
    await loop.connect_accepted_socket(lambda: protocol, ours)
    await loop.sock_sendall(
        theirs,
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    )
    await waiting.wait()
    while connections[0].write_buffer_size:
        await loop.sock_recv(theirs, 1 << 16)
    theirs.close()
    await asyncio.sleep(0.01)


KINDS: dict[str, tuple[Callable[[int], None], int]] = {
    "fragments": (fragments, 1 << 14),
    "characters": (characters, 1 << 14),
    "bytes of a frame": (bytes_of_a_frame, 1 << 14),
    "empty blocks": (empty_blocks, 1 << 14),
    "pings": (pings, 1 << 14),
    "bytes of a head": (bytes_of_a_head, 1 << 14),
    "extensions": (extensions, 1 << 12),
    "headers": (headers, 1 << 12),
    "unsent": (unsent, 1 << 15),
}


def instructions(kind: str, n: int) -> int:
    """Counts the instructions of a process that does nothing else."""
    valgrind = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
    ]
    command = [*valgrind, sys.executable, "-m", "benchmarks.growth", "--run", kind, str(n)]
    done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if found is None:
        raise RuntimeError(done.stderr)
    return int(found[1].replace(",", ""))


def main() -> int:
    """Prints a table; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--run", nargs=2, metavar=("KIND", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        kind, n = options.run
        KINDS[kind][0](int(n))
        return 0
    worst = 0.0
    print("| what grows | n | instructions for one more | growth |\n|---|---|---|---|")
    for kind in options.only:
        run, n = KINDS[kind]
        counts = [instructions(kind, n * factor) for factor in (1, 2, 4)]
        growth = (counts[2] - counts[1]) / (counts[1] - counts[0])
        worst = max(worst, growth)
        each = (counts[2] - counts[1]) / (2 * n)
        print(f"| {run.__doc__} | {n} to {4 * n} | {each:,.0f} | {growth:.2f} |", flush=True)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
