"""500 clients join 20 rooms each and leave in every way.

Close, reset, silence, an exception in the handler, kicked. After 200 rounds no room, member, task
or file descriptor is left, and no memory that would be one of them.
"""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from benchmarks import measures
from benchmarks.crowd.clients import PATIENCE, drain, join, numbers, serving
from benchmarks.servers import Server
from fastws.testing.frames import close, text

KIB = 1024
ROOMS = 20
# In 190 rounds of 500 that is 6 bytes for each, less than any object. Less is the allocator.
WARM_UP, MOST_GROWTH = 10, 512
# Those who stay silent are to be gone soon.
STRICT = ("--ws-ping-interval", "0.5", "--ws-ping-timeout", "0.5")


def say_goodbye(sock: socket.socket) -> None:
    """The closing handshake."""
    sock.sendall(close(1000))
    drain(sock)


def reset(sock: socket.socket) -> None:
    """RST, with messages unread."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def be_kicked(sock: socket.socket) -> None:
    """The app closes it."""
    sock.sendall(text("kick"))
    drain(sock, b"kicked")


def make_it_fail(sock: socket.socket) -> None:
    """The app raises."""
    sock.sendall(text("fail"))
    drain(sock, b"internal error")


# The fifth way is to say nothing until the server has enough of it.
WAYS: tuple[Callable[[socket.socket], None], ...] = (say_goodbye, reset, be_kicked, make_it_fail)


def come_and_go(server: Server, count: int) -> dict[str, Any]:
    """Lets so many clients join and leave; gives what is left, once nothing changes any more."""
    socks = []
    for i in range(count):
        sock = join(server)
        sock.sendall(b"".join(text(f"join {(i + j) % 97}") for j in range(ROOMS - 1)))
        socks.append(sock)
    socks[0].sendall(text("x" * 4 * KIB) * 20)
    there = numbers(server)
    if there["members"] != count:
        raise RuntimeError(f"{there['members']} of {count} are there")
    for i, sock in enumerate(socks):
        if i % 5 < len(WAYS):
            WAYS[i % 5](sock)
    for sock in socks[len(WAYS) :: 5]:
        drain(sock)
    deadline = time.monotonic() + PATIENCE
    while (left := numbers(server))["members"] and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def leaving(rounds: int, count: int) -> bool:
    """Runs all rounds on one server, and looks at what each has left behind."""
    kept = ("rooms", "members", "tasks", "fds")
    clean = True
    sizes: list[int] = []
    with serving(*STRICT).run() as server:
        at_first = numbers(server)
        for i in range(rounds):
            left = come_and_go(server, count)
            sizes.append(measures.rss(server))
            if left != at_first | {k: v for k, v in left.items() if k not in kept}:
                print(f"round {i + 1} has left {[(k, left[k]) for k in kept]}")
                clean = False
            if (i + 1) % 20 == 0 or i + 1 == rounds:
                print(f"round {i + 1}: {sizes[-1] // KIB:,} KiB", flush=True)
    # The first rounds fill what the allocator keeps.
    warm = min(len(sizes) - 1, WARM_UP)
    growth = (sizes[-1] - sizes[warm]) // KIB
    print(f"at first {[(k, at_first[k]) for k in kept]}, at last {[(k, left[k]) for k in kept]}")
    print(f"memory grew by {growth:+d} KiB since round {warm + 1}, {MOST_GROWTH} are allowed")
    return clean and growth <= MOST_GROWTH
