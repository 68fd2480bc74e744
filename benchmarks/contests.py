"""What all peers are compared in: which of them, and what the load generator does."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import TYPED_LOAD
from benchmarks.roster import ECHO, FANOUT, FLOOR, TYPED
from benchmarks.servers import Peer

Measure = Literal["rate", "latency", "stalled", "memory"]


@dataclass(frozen=True)
class Contest:
    """One table; fastws is the first of its peers.

    Attributes:
        title: its heading.
        measure: which columns it has.
        load: the arguments of the load generator.
        peers: who takes part.
        seconds: of a run, in the place of what was asked for.
        note: what a reader has to know.
    """

    title: str
    measure: Measure
    load: tuple[str, ...]
    peers: tuple[Peer, ...]
    seconds: float | None = None
    note: str = ""


# It believes what it is sent: small frames, several in a read, none in two.
WITHOUT_FLOOR = tuple(peer for peer in ECHO if peer is not FLOOR)

CONTESTS = {
    "echo-1": Contest(
        "Echo, 64 B, 100 connections, 1 in flight",
        "rate",
        ("echo", "-c", "100", "-d", "1", "-s", "64"),
        ECHO,
    ),
    "echo-16": Contest(
        "Echo, 64 B, 100 connections, 16 in flight",
        "rate",
        ("echo", "-c", "100", "-d", "16", "-s", "64"),
        ECHO,
    ),
    "echo-16k": Contest(
        "Echo, 16 KiB, 50 connections, 1 in flight",
        "rate",
        ("echo", "-c", "50", "-d", "1", "-s", "16384"),
        WITHOUT_FLOOR,
    ),
    "typed": Contest(
        "Typed round trip, 53 B, 100 connections, 16 in flight",
        "rate",
        TYPED_LOAD,
        TYPED,
        note="A tagged union comes as JSON, is validated, and is answered with another struct.",
    ),
    "fanout": Contest(
        "Fan-out, 128 B to 500 subscribers, 4 in flight, deliveries",
        "rate",
        ("fanout", "-c", "500", "-d", "4", "-s", "128"),
        FANOUT,
    ),
    "handshake": Contest(
        "Handshakes: connect, upgrade, close; 64 at a time",
        "rate",
        ("handshake", "-c", "64"),
        WITHOUT_FLOOR,
    ),
    "latency": Contest(
        "Latency at 5,000 messages/s, 64 B, 100 connections",
        "latency",
        ("echo", "-c", "100", "-d", "1000", "-s", "64", "-R", "5000"),
        ECHO,
        note="An open loop: each time counts from when the message was due, whatever happened to "
        "those before it (no coordinated omission).",
    ),
    "slow": Contest(
        "Slow consumers: fan-out, 16 KiB to 100 subscribers, of whom 2 never read",
        "stalled",
        ("fanout", "-c", "100", "-d", "4", "-s", "16384", "-n", "2"),
        FANOUT,
        seconds=3,
        note="Deliveries are those to the other 98; `ended` is how many of the 2 the server closed "
        "in the end, `peak` the most memory that it had.",
    ),
    "memory": Contest(
        "Memory of an idle connection, 5,000 open",
        "memory",
        ("idle", "-c", "5000"),
        WITHOUT_FLOOR,
        note="Growth of the RSS of a fresh server's processes.",
    ),
}
