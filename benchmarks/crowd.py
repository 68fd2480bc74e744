"""`python -m benchmarks.crowd slow|leaving`: what a room suffers, and what it must not.

slow: 1,000 members, of whom one never reads and one reads 1 KB a second. The others get every byte
(the load generator compares), about as soon as without those two, which end by the policy; what
waits for them is no more than the limits say.

leaving: 500 clients join 20 rooms each and leave in every way: close, reset, silence, an exception
in the handler, kicked. After 200 rounds no room, member, task or file descriptor is left, and no
memory that would be one of them.

The exit code is 1 if one of these is not so. The ratio of latencies is only told: it is that of the
machine, too.
"""

import argparse
import http.client
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import load, measures
from benchmarks.servers import OURS, Server, asgi
from benchmarks.table import Ratios
from fastws.limits import Limits
from fastws.testing.frames import close, text
from fastws.testing.peer import upgrade

KIB = 1024
# The kernel takes 2.6 MB of a connection to the loopback before it is full.
MEMBERS, SIZE = 1000, 4 * KIB
ROOMS = 20
PATIENCE = 30.0
TRIES = 10
# In 190 rounds of 500 that is 6 bytes for each, less than any object. Less is the allocator.
WARM_UP, MOST_GROWTH = 10, 512
# Besides what the limits let wait for the two: what the allocator and the kernel's moods take.
SLACK = 2 * KIB * KIB

APP = "crowd_app:app"
CALM = asgi("fastws", APP, *OURS)
# Those who stay silent are to be gone soon, and those who fail are no news.
STRICT = asgi(
    "fastws",
    APP,
    *OURS,
    *("--ws-ping-interval", "0.5", "--ws-ping-timeout", "0.5", "--log-level", "critical"),
)


def numbers(server: Server) -> dict[str, Any]:
    """What the app tells of itself."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", "/")
    with connection.getresponse() as response:
        found: dict[str, Any] = json.loads(response.read())
    connection.close()
    return found


def join(server: Server, receive_buffer: int | None = None) -> socket.socket:
    """Opens a connection to the room."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(upgrade("/ws"))
    head = b""
    # Byte by byte: what follows may be a message.
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"not an upgrade: {head!r}")
    return sock


def drain(sock: socket.socket, reason: bytes = b"") -> None:
    """Receives until the server ends TCP, in whatever way, and closes.

    Args:
        reason: what the server's close frame ends with; it is answered.
    """
    tail = b""
    try:
        while data := sock.recv(65536):
            tail = (tail + data)[-100:]
            if reason and tail.endswith(reason):
                sock.sendall(close(1000))
    except ConnectionError:
        pass
    sock.close()


# Slow members.


@contextmanager
def slow_members(server: Server) -> Iterator[None]:
    """Holds a member that never reads, and one that reads 1 KB a second."""
    never, slowly = join(server, 4 * KIB), join(server, 4 * KIB)
    done = threading.Event()

    def read() -> None:
        try:
            while not done.wait(1) and slowly.recv(KIB):
                pass
        except ConnectionError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join()
        never.close()
        slowly.close()


@contextmanager
def watched(server: Server) -> Iterator[list[int]]:
    """Gives a list of what the server's memory was, over and over, while this lasts."""
    sizes = [measures.rss(server.pid)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            text = Path(f"/proc/{server.pid}/statm").read_text()
            sizes.append(int(text.split()[1]) * 4 * KIB)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield sizes
    finally:
        done.set()
        watcher.join()


def slow(rounds: int, seconds: float) -> bool:
    """Runs the room with and without its slow members, in turn."""
    options = ("fanout", "-d", "4", "-s", str(SIZE), "-t", str(seconds))
    everybody = (*options, "-c", str(MEMBERS - 1))
    without: list[load.Result] = []
    beside: list[load.Result] = []
    growth: list[int] = []
    with CALM.run() as server:
        load.measure(server, *everybody)
        for _ in range(rounds):
            without.append(load.measure(server, *everybody))
            before = numbers(server)["disconnected"]
            with slow_members(server), watched(server) as sizes:
                beside.append(load.measure(server, *options, "-c", str(MEMBERS - 3)))
                # How long that takes is up to the kernel, and to the machine.
                for _ in range(TRIES):
                    ended = numbers(server)["disconnected"] - before
                    if ended == 2:
                        break
                    load.measure(server, *options, "-c", str(MEMBERS - 3))
            growth.append(max(sizes) - sizes[0])
            print(f"{ended} of 2 slow members were disconnected", flush=True)
            if ended != 2:
                return False
    limits = Limits()
    assert limits.max_outbox_size is not None
    allowed = 2 * (limits.max_outbox_size + limits.max_write_buffer) + SLACK
    for name, results in (("without", without), ("beside", beside)):
        rate, cpu = median(r.rate for r in results), median(r.cpu for r in results)
        p50, p99 = median(r.p50 for r in results), median(r.p99 for r in results)
        print(
            f"{name} slow members: {rate:,.0f} deliveries/s, {cpu * 1e6:.2f} µs each, "
            f"p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms"
        )
    print(f"p99 beside to without: {Ratios.of([r.p99 for r in beside], [r.p99 for r in without])}")
    print(f"memory grew by {max(growth) // KIB} KiB at most, {allowed // KIB} KiB are allowed")
    return max(growth) <= allowed


# Leaving.


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
    socks[0].sendall(text("x" * SIZE) * 20)
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
    with STRICT.run() as server:
        at_first = numbers(server)
        for i in range(rounds):
            left = come_and_go(server, count)
            sizes.append(measures.rss(server.pid))
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


def main() -> int:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("what", choices=["slow", "leaving"])
    parser.add_argument("--rounds", type=int, help="3 for slow, 200 for leaving")
    parser.add_argument("--seconds", type=float, default=3, help="of each run of slow")
    parser.add_argument("--clients", type=int, default=500, help="in each round of leaving")
    options = parser.parse_args()
    if options.what == "slow":
        return 0 if slow(options.rounds or 3, options.seconds) else 1
    return 0 if leaving(options.rounds or 200, options.clients) else 1


if __name__ == "__main__":
    sys.exit(main())
