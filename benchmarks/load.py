"""Compiling and running the load generator, generator/load.c."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.servers import HERE, LOAD_CORE, Server, compiled


@dataclass(frozen=True)
class Result:
    """One run of the load generator.

    Attributes:
        count: messages, handshakes or requests in the measured window.
        seconds: how long the window was.
        server_cpu: CPU time of the server process, all its threads, in the window.
        load_cpu: CPU time of the load generator in the window.
        total: the same as `count`, with what came before and after the window.
        p50: seconds from a message's being sent, or due, to half of the arrivals; only of a fanout
            and of an open loop.
        p99: the same for 99 of 100.
        p999: the same for 999 of 1,000.
        ended: how many of the stalled did not stay.
    """

    count: int
    seconds: float
    server_cpu: float
    load_cpu: float
    total: int
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    ended: int = 0

    @property
    def rate(self) -> float:
        """How many in a second."""
        return self.count / self.seconds

    @property
    def cpu(self) -> float:
        """CPU time of the server for one, in seconds."""
        return self.server_cpu / self.count


def start(server: Server, mode: str, *options: str) -> "subprocess.Popen[str]":
    """Start the load generator on its core."""
    command = [compiled(HERE / "generator" / "load.c"), mode, "-p", str(server.port)]
    for pid in server.pids():
        command += ["-P", str(pid)]
    return subprocess.Popen(
        [*command, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )


def measure(server: Server, mode: str, *options: str) -> Result:
    """Run the load generator in a mode that ends by itself."""
    with start(server, mode, *options) as process:
        output, said = process.communicate()
    if process.returncode:
        raise RuntimeError(said.strip() or f"the load generator: status {process.returncode}")
    return Result(**json.loads(output))


@contextmanager
def idle(server: Server, connections: int) -> Iterator[None]:
    """Hold so many open connections that say nothing; close them, cleanly, on the way out."""
    with start(server, "idle", "-c", str(connections)) as process:
        assert process.stdout is not None
        opened = process.stdout.readline()
        if opened:
            yield
        process.communicate()
    if process.returncode or not opened:
        raise RuntimeError(f"{connections} connections could not be opened, held and closed")
