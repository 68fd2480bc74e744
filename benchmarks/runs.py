"""Interleaved runs: all servers are up, the load goes to one after the other."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.load import Result, idle, measure
from benchmarks.measures import peak, rss
from benchmarks.servers import NotMeasuredError, Peer


@dataclass
class Entry:
    """A server in a race.

    Attributes:
        peer: which.
        load: the arguments of the load generator.
        results: one of each round.
        missing: why there are none.
        sizes: bytes of memory for each idle connection, one of each round.
        peak: the most bytes of memory that it had, all its processes.
        failed: whether that is since something was wrong, and not since something is not here.
    """

    peer: Peer
    load: tuple[str, ...]
    results: list[Result] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    missing: str = ""
    failed: bool = False
    peak: int = 0


def interleave(entries: Iterable[Entry], rounds: int, *options: str) -> list[Entry]:
    """Run them A B C A B C ...; one that cannot go on is missing, the others do."""
    entries = list(entries)
    with ExitStack() as stack:
        servers = {}
        for index, entry in enumerate(entries):
            try:
                servers[index] = stack.enter_context(entry.peer.run())
            except NotMeasuredError as reason:
                entry.missing = str(reason)
        for _ in range(rounds):
            for index, server in servers.items():
                entry = entries[index]
                if entry.missing:
                    continue
                try:
                    entry.results.append(measure(server, *entry.load, *options))
                except RuntimeError as reason:
                    entry.missing, entry.failed = str(reason), True
        for index, server in servers.items():
            entries[index].peak = peak(server)
    return entries


def weigh(entries: Iterable[Entry], rounds: int, connections: int) -> list[Entry]:
    """Let fresh servers hold so many connections that say nothing; whoever cannot is missing."""
    entries = list(entries)
    for _ in range(rounds):
        for entry in entries:
            if entry.missing:
                continue
            try:
                entry.sizes.append(weight(entry.peer, connections))
            except (NotMeasuredError, RuntimeError) as reason:
                entry.missing, entry.failed = str(reason), isinstance(reason, RuntimeError)
    return entries


def weight(peer: Peer, connections: int) -> float:
    """Bytes that a fresh server's memory grows by for each connection that is open and silent."""
    with peer.run() as server:
        # It loads what it loads for its first connections.
        measure(server, "handshake", "-c", "64", "-t", "0.3")
        before = rss(server)
        with idle(server, connections):
            return (rss(server) - before) / connections
