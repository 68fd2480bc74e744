"""The fixed work: the codec alone, and what goes from a read to a write through the server.

`counting` runs this as a program that does one of them.
"""

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gate.stage import Stage
from benchmarks.peers import echo, fanout_rooms, typed_fastws
from fastws.limits import Limits
from fastws.testing.frames import BINARY, CONTINUATION, TEXT, frame, text
from fastws.wire import Compression, Connection, Deflate, Params, Role

Run = Callable[[int], None]

READS = 20  # in a turn of the loop: with one, the loop would be most of it
MEMBERS = 500
ECHO = text("x" * 64)
# What compresses as chats do: words that come again, and numbers that do not.
JSON = json.dumps([{"type": "Chat", "room": "lobby", "id": i * i} for i in range(20)])


@dataclass(frozen=True)
class Workload:
    """Something that is done again and again.

    Attributes:
        prepare: gives what does it so many times.
        times: how often it is done when it is counted; a tenth of that to warm up.
        each: how many messages that is each time, so that figures are for one of them.
        unit: what one of them is.
    """

    prepare: Callable[[], Run]
    times: int
    each: int = 1
    unit: str = "message"


def repeat(step: Callable[[], object]) -> Run:
    """Gives what does a step n times, without a loop."""

    def run(n: int) -> None:
        for _ in range(n):
            step()

    return run


def reading(data: bytes, compression: Compression | None = None) -> Run:
    """The codec reads whole messages, over and over again."""
    connection = Connection(Role.SERVER, Limits(), compression)

    def step() -> None:
        connection.receive_data(data)
        while connection.next_event() is not None:
            pass

    connection.receive_data(data)
    if connection.next_event() is None:
        raise RuntimeError("no message came of it")
    return repeat(step)


def sending(payload: str, times: int, compression: Compression | None = None) -> Run:
    """The codec makes frames of so many messages, over and over again."""
    connection = Connection(Role.SERVER, Limits(), compression)

    def step() -> None:
        for _ in range(times):
            connection.send_text(payload)
        connection.data_to_send()

    return repeat(step)


def deflate(role: Role) -> Compression:
    """Compression as it is agreed on by default: each message for itself."""
    return Compression(Params(False, False, 15, 15), Deflate(), role is Role.SERVER)


def small_frames() -> Run:
    """Sixteen messages of 64 bytes in a read."""
    return reading(ECHO * 16)


def large_frame() -> Run:
    """A message of 16 KiB in a read."""
    return reading(frame(BINARY, bytes(range(256)) * 64))


def fragments() -> Run:
    """A message in 32 fragments."""
    middle = frame(CONTINUATION, b"x" * 32, fin=False)
    return reading(frame(TEXT, b"x" * 32, fin=False) + middle * 30 + frame(CONTINUATION, b"x" * 32))


def serialising() -> Run:
    """Sixteen messages of 64 bytes are sent."""
    return sending("x" * 64, 16)


def deflating() -> Run:
    """Some JSON is compressed and sent."""
    return sending(JSON, 1, deflate(Role.SERVER))


def inflating() -> Run:
    """Some compressed JSON is read."""
    client = Connection(Role.CLIENT, Limits(), deflate(Role.CLIENT))
    client.send_text(JSON)
    return reading(client.data_to_send(), deflate(Role.SERVER))


def handshake() -> Run:
    """A client connects, and the one before closes."""
    stage = Stage(echo.app)
    clients = stage.connected(1)

    def step() -> None:
        stage.leave(clients.pop())
        clients.append(stage.connect())

    return stage.turns(step)


def reads(stage: Stage, data: bytes) -> Run:
    """Clients send something, each in a read, all in one turn of the loop."""
    clients = stage.connected(READS)

    def step() -> None:
        for client in clients:
            client.read(data)

    return stage.turns(step)


def echo_one() -> Run:
    """Echoes of 64 bytes, one in a read."""
    return reads(Stage(echo.app), ECHO)


def echo_many() -> Run:
    """Echoes of 64 bytes, 16 in a read."""
    return reads(Stage(echo.app), ECHO * 16)


def fanout() -> Run:
    """A message of 128 bytes to a room of 500."""
    stage = Stage(fanout_rooms.app)
    clients = stage.connected(MEMBERS + 1)
    return stage.turns(lambda: clients[0].read(text("x" * 128)))


def typed() -> Run:
    """A typed message through an App, and its answer, one in a read."""
    return reads(Stage(typed_fastws.app), text('{"type": "Chat", "content": "hello there"}'))


WORKLOADS = {
    "read small frames": Workload(small_frames, 3000, 16),
    "read 16 KiB": Workload(large_frame, 6000),
    "read fragments": Workload(fragments, 2000, 32, "fragment"),
    "send small frames": Workload(serialising, 2000, 16),
    "deflate": Workload(deflating, 300),
    "inflate": Workload(inflating, 1000),
    "handshake": Workload(handshake, 200, 1, "connection"),
    "echo, 1 in a read": Workload(echo_one, 400, READS),
    "echo, 16 in a read": Workload(echo_many, 100, READS * 16),
    "fan-out to 500": Workload(fanout, 100, MEMBERS, "delivery"),
    "typed, 1 in a read": Workload(typed, 200, READS),
}


def main(name: str = "handshake") -> None:
    """Does what has to be counted, and tells valgrind what that is."""
    workload = WORKLOADS[name]
    run = workload.prepare()
    valgrind = ctypes.CDLL("/proc/self/cwd/measured.so")
    # What is there now is not looked at again; cycles that the work itself leaves are counted.
    gc.collect()
    gc.freeze()
    valgrind.warm_up_begins()
    run(max(2, workload.times // 10))
    valgrind.measured_begins()
    run(workload.times)
    valgrind.measured_ends()
    # Tasks and loops are left as they are: nobody is there to wait for them.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
