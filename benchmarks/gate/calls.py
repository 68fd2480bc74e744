"""The second gate: how often the server calls the kernel for a message, counted by strace."""

from dataclasses import dataclass

from benchmarks import load, measures
from benchmarks.gate.commands import BUILD
from benchmarks.roster import FASTWS, FASTWS_ROOMS
from benchmarks.servers import Peer, Server

# The difference of the two is what messages take, without what connecting takes.
SHORT, LONG = 0.2, 0.8  # seconds


@dataclass(frozen=True)
class Ceiling:
    """How many system calls a message may take.

    Attributes:
        name: what is counted.
        peer: the server.
        load: what the load generator does.
        most: how many there may be for each message; what it was, and 2 % for chance.
    """

    name: str
    peer: Peer
    load: tuple[str, ...]
    most: float


CEILINGS = (
    # epoll_wait, recv, send.
    Ceiling("echo, 1 in flight", FASTWS, ("echo", "-c", "1", "-d", "1", "-s", "64"), 3.06),
    # The same three, for all of a burst.
    Ceiling("echo, bursts of 20", FASTWS, ("echo", "-b", "-c", "1", "-d", "20", "-s", "64"), 0.153),
    # One send.
    Ceiling("fan-out to 500", FASTWS_ROOMS, ("fanout", "-c", "500", "-d", "1", "-s", "128"), 1.03),
)


def per_message(peer: Peer, command: tuple[str, ...]) -> float:
    """Counts the system calls that a server makes for each message."""
    with peer.run() as server:
        load.measure(server, *command, "-t", str(SHORT))
        few, some = traced(server, command, SHORT)
        many, more = traced(server, command, LONG)
    return (many - few) / (more - some)


def traced(server: Server, command: tuple[str, ...], seconds: float) -> tuple[int, int]:
    """Gives the system calls of a run of the load generator, and its messages."""
    with measures.counted(server.pid, BUILD / "strace.txt") as calls:
        result = load.measure(server, *command, "-w", "0", "-t", str(seconds))
    return calls.total, result.total
