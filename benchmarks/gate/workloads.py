"""All that is counted, and the program that does one of it in a process of its own."""

import ctypes
import gc
import json
import os
import random
import secrets
import sys

from benchmarks.gate import memory
from benchmarks.gate.work import READS, Idle, Workload, client, codec, rooms, server
from benchmarks.peers import echo, echo_fastws

WORKLOADS: dict[str, Workload | Idle] = {
    "read small frames": Workload(codec.small_frames, 3000, 16),
    "read 16 KiB": Workload(codec.large_frame, 6000),
    "read fragments": Workload(codec.fragments, 2000, 32, "fragment"),
    "send small frames": Workload(codec.serialising, 2000, 16),
    "deflate": Workload(codec.deflating, 300),
    "inflate": Workload(codec.inflating, 1000),
    "handshake": Workload(server.handshake, 200, 1, "connection"),
    "echo, 1 in a read": Workload(server.echo_one, 400, READS),
    "echo, 16 in a read": Workload(server.echo_many, 100, READS * 16),
    "typed, 1 in a read": Workload(server.typed, 200, READS),
    "plain HTTP, GET": Workload(server.http, 100, READS, "request"),
    "fan-out to 500": Workload(rooms.fanout, 100, rooms.MEMBERS, "delivery"),
    "slow members, 20 of 100": Workload(rooms.slow, 100, rooms.BURST),
    "resume, 50 missed": Workload(rooms.resume, 10, READS, "resume"),
    "broker, room of 50": Workload(rooms.broker, 1000),
    "client connects": Workload(client.connecting, 200, 1, "connection"),
    "client, 1 in a read": Workload(client.echo_one, 200, READS),
    "idle, ASGI echo": Idle(echo.app),
    "idle, App echo": Idle(echo_fastws.app),
}


def count_instructions(workload: Workload) -> None:
    """Do a workload, and tell valgrind what to count of it."""
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


def main(name: str = "handshake") -> None:
    """Do what is to be counted."""
    # Ids of members decide which of them collide in a dict: so they are the same in each run.
    secrets.randbits = random.Random(0).getrandbits  # type: ignore[assignment]
    workload = WORKLOADS[name]
    if isinstance(workload, Idle):
        print(json.dumps(memory.count_bytes(workload)), flush=True)
    else:
        count_instructions(workload)
    # Tasks and loops are left as they are: nobody is there to wait for them.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
