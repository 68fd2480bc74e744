"""What the kernel knows about a server process: its memory and its system calls."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.servers import LOAD_CORE, NotMeasuredError, Server

SETTLE_SECONDS = 0.25
SETTLE_TRIES = 20


def rss(server: Server) -> int:
    """Resident memory in bytes of a server's processes, once it has stopped changing.

    From smaps_rollup, which counts pages; the VmRSS of /proc/PID/status is an estimate.
    """
    before = -1
    for _ in range(SETTLE_TRIES):
        now = sum(field("smaps_rollup", "Rss:", pid) for pid in server.pids())
        if now == before:
            break
        before = now
        time.sleep(SETTLE_SECONDS)
    return now


def field(file: str, name: str, pid: int) -> int:
    """A size that the kernel tells in KiB, in bytes."""
    lines = (line.split() for line in Path(f"/proc/{pid}/{file}").read_text().splitlines())
    return next((int(line[1]) for line in lines if line and line[0] == name), 0) * 1024


def peak(server: Server) -> int:
    """The most resident memory in bytes that a server has had; 0 when it is gone."""
    with suppress(FileNotFoundError):
        return sum(field("status", "VmHWM:", pid) for pid in server.pids())
    return 0


class SystemCalls:
    """How often a process called the kernel; known after `counted` has ended."""

    total = 0
    by_name: dict[str, int]


@contextmanager
def counted(pid: int, output: Path) -> Iterator[SystemCalls]:
    """Count the system calls of a process and its threads with strace."""
    if shutil.which("strace") is None:
        raise NotMeasuredError("strace is not installed")
    output.parent.mkdir(parents=True, exist_ok=True)
    calls = SystemCalls()
    with subprocess.Popen(
        ["strace", "-c", "-U", "calls,name", "-f", "-p", str(pid), "-o", str(output)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    ) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()  # "strace: Process 123 attached"
        if "attached" not in said:
            raise NotMeasuredError(said.strip() or "strace said nothing")
        try:
            yield calls
        finally:
            strace.send_signal(signal.SIGINT)  # it detaches and writes its table
            strace.communicate()
    calls.by_name = parse(output.read_text())
    calls.total = sum(calls.by_name.values())


def parse(table: str) -> dict[str, int]:
    """The calls of each name in what `strace -c -U calls,name` printed."""
    rows = (line.split() for line in table.splitlines())
    return {row[1]: int(row[0]) for row in rows if row and row[0].isdigit() and row[1] != "total"}


def cpu(pid: int) -> float:
    """The seconds of CPU time that a process has had, all its threads, user and kernel."""
    # clock_getcpuclockid(3), as Linux makes the id of such a clock.
    return time.clock_gettime(~pid << 3 | 2)
