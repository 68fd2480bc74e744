"""Counting the bytes of open connections, by type, as glibc's malloc has given them out.

Python gets all its memory from there, too (PYTHONMALLOC), so these are all bytes but the kernel's.
"""

import ctypes
import gc
import sys
from collections import Counter
from typing import Any

from benchmarks.gate.stage import Server
from benchmarks.gate.work import Idle

MALLINFO = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
    "keepcost",
)  # fmt: skip


class Mallinfo(ctypes.Structure):
    """See mallinfo2(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)


def count_bytes(idle: Idle) -> dict[str, Any]:
    """Return what one connection takes: `amount`, and `parts`, by the type of the objects."""
    server = Server(idle.app)
    connect(server, idle.connections)
    objects, bytes_before = sizes(), allocated()
    connect(server, idle.connections)
    amount = allocated() - bytes_before
    parts = sizes() - objects
    # Such as strings, and what malloc adds to each.
    parts["(all else)"] = amount - parts.total()
    return {
        "amount": amount / idle.connections,
        "parts": {name: size / idle.connections for name, size in parts.items()},
    }


def connect(server: Server, connections: int) -> None:
    """Open some connections, of which only the server's part stays."""
    for transport in server.connected(connections):
        transport.written = b""


def allocated() -> int:
    """Return how many bytes malloc has given out."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    info = libc.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def sizes() -> Counter[str]:
    """Return the bytes of all objects that the garbage collector knows, by type."""
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        found[type(each).__qualname__] += sys.getsizeof(each)
    return found
