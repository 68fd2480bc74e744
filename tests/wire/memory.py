"""How much memory connections take: in this process, and in one of their own.

`allocated` counts the bytes of malloc in this process. A peak is known of a whole process only.
`python -m tests.wire.memory FILE READ COUNT deflate` feeds what is in a file to COUNT new
connections, in reads of READ bytes, and prints by how many bytes that raised the peak, and the
close code that came of it, or None. `python -m tests.wire.memory idle COUNT [BITS LEVEL]` prints
what connections take that have compressed and inflated a message, with or without keeping their
contexts.
"""

import ctypes
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from fastws.wire import Connection, Deflate, Opcode, Params
from tests.wire.drive import SHARED, connect
from tests.wire.reference import BINARY, RSV1, Deflater, frame

KIB, MIB = 1024, 1024 * 1024
# With ASAN everything takes more, and what is freed is kept for a while.
ASAN = "asan" in os.environ.get("LD_PRELOAD", "")

LIBC = ctypes.CDLL(None)
COUNTED = pytest.mark.skipif(
    not ASAN and not hasattr(LIBC, "mallinfo2"), reason="mallinfo2 needs glibc 2.33 or newer"
)


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def allocated() -> int:
    """Return the bytes that malloc has handed out. A test that asks needs the mark `COUNTED`.

    Python has an allocator of its own for objects of at most 512 bytes, which are not counted.
    """
    if ASAN:
        count = LIBC.__sanitizer_get_current_allocated_bytes
        count.restype = ctypes.c_size_t
        return int(count())
    LIBC.mallinfo2.restype = _Mallinfo
    info = LIBC.mallinfo2()
    return int(info.uordblks + info.hblkhd)


class Cost(NamedTuple):
    """What feeding took, and what it led to."""

    size: int
    code: int | None


def feed(connection: Connection, data: memoryview, read: int) -> int | None:
    """Feeds as a server would; gives the close code."""
    code = None
    for at in range(0, len(data), read):
        connection.receive_data(data[at : at + read])
        while (event := connection.next_event()) is not None:
            code = connection.close_code if event[0] is Opcode.CLOSE else None
        connection.data_to_send()
    return code


def peak() -> int:
    """The most that this process ever had in memory, in bytes."""
    if sys.platform == "linux":
        # Not ru_maxrss, which begins with what the process that started this one had.
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return int(found[1]) * KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(*arguments: str) -> str:
    """Runs this module, and gives what it prints."""
    asan_options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0"
    env = {**os.environ, "ASAN_OPTIONS": asan_options}
    argv = [sys.executable, "-m", "tests.wire.memory", *arguments]
    return subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def cost(data: bytes, *, read: int = 16 * KIB, count: int = 1, deflate: bool = False) -> Cost:
    """Runs this module with some bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        arguments = [file.name, str(read), str(count), *(["deflate"] if deflate else [])]
        size, code = run(*arguments).split()
    return Cost(int(size), None if code == "None" else int(code))


def main(file: str, read: str, count: str, *options: str) -> None:
    params = SHARED if "deflate" in options else None
    connections = [connect(params=params) for _ in range(int(count))]
    # One allocation of the right size, so that nothing freed is left to take memory from.
    data = memoryview(Path(file).read_bytes())
    before = peak()
    codes = {feed(connection, data, int(read)) for connection in connections}
    grown = peak() - before
    (code,) = codes
    print(grown, code)


def idle(count: str, bits: str = "", level: str = "") -> None:
    params, options = SHARED, Deflate(threshold=0)
    if bits:
        options = Deflate(window_bits=int(bits), memory_level=int(level), threshold=0)
        params = Params(True, True, int(bits), int(bits))
    # Short messages, since a connection without I/O keeps a buffer for what it sends.
    data = frame(BINARY, Deflater(takeover=False)(os.urandom(500)), rsv=RSV1) * 40
    connections = [connect(params=params, options=options) for _ in range(10)]
    before = peak()
    connections += [connect(params=params, options=options) for _ in range(int(count))]
    for connection in connections:
        feed(connection, memoryview(data), 16 * KIB)
        for _ in range(40 if bits else 1):
            connection.send_binary(os.urandom(500))
            connection.data_to_send()
    print(peak() - before)


if __name__ == "__main__":
    if sys.argv[1] == "idle":
        idle(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
