"""1,000 members, of whom one never reads and one reads 1 KB a second.

The others get every byte (the load generator compares), about as soon as without those two, which
end by the policy; what waits for them is no more than the limits say.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import load, measures
from benchmarks.crowd.clients import join, numbers, serving
from benchmarks.servers import Server
from benchmarks.table import Ratios
from fastws.limits import Limits

KIB = 1024
# The kernel takes 2.6 MB of a connection to the loopback before it is full.
MEMBERS, SIZE = 1000, 4 * KIB
TRIES = 10
# Besides what the limits let wait for the two: what the allocator and the kernel's moods take.
SLACK = 2 * KIB * KIB


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
    sizes = [measures.rss(server)]
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
    with serving().run() as server:
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
