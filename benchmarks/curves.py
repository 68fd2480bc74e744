"""`python -m benchmarks.curves`: what a message costs, as the load grows.

It writes RESULTS/curves.md, whose other sections stay, and a chart for each.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.charts import draw_curve
from benchmarks.machine import machine, occasion
from benchmarks.report import cpu, middle, write
from benchmarks.roster import FASTWS, FASTWS_ROOMS, UVICORN, UVICORN_LOOP, UVICORN_ROOMS
from benchmarks.runs import Entry, interleave
from benchmarks.servers import CORES, OURS, RESULTS, THEIRS, asgi, raise_file_limit
from benchmarks.table import short, table

KIB = 1024
ECHO = ("echo", "-s", "64", "-c", "100", "-d", "1")


@dataclass(frozen=True)
class Curve:
    """One way to grow.

    Attributes:
        title: of the chart: what is measured, and at what.
        axis: what grows.
        points: to which values.
        at: the servers and their loads at a value, the same servers at each.
    """

    title: str
    axis: str
    points: tuple[int, ...]
    at: Callable[[int], list[Entry]]


def echoes(*load: str) -> list[Entry]:
    """Our echo and uvicorn's; later options win."""
    return [Entry(FASTWS, (*ECHO, *load)), Entry(UVICORN, (*ECHO, *load))]


def deflating(size: int) -> list[Entry]:
    """The same, compressing."""
    load = (*ECHO, "-c", "10", "-s", str(size), "-z")
    option = ("--ws-per-message-deflate", "true")
    return [
        Entry(asgi(f"{name}, deflate", "peers.echo:app", *classes, *option), load)
        for name, classes in (("fastws", OURS), ("uvicorn", THEIRS))
    ]


def in_rooms(count: int) -> list[Entry]:
    """One connection, alone in so many rooms."""
    load = (*ECHO, "-c", "1", "-d", "16")
    environment = ("env", f"ROOMS={count}")
    return [
        Entry(asgi(peer.name, "peers.rooms_echo:app", *classes).prefixed(environment), load)
        for peer, classes in ((FASTWS_ROOMS, OURS), (UVICORN_ROOMS, THEIRS))
    ]


def of_workers(count: int) -> list[Entry]:
    """So many processes, on all cores if they are several: the load has one of them, too."""
    return [
        Entry(
            replace(
                asgi(name, "peers.echo:app", *classes, "--workers", str(count)),
                cores=CORES if count > 1 else None,
                request=b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            ),
            (*ECHO, "-d", "16", "-w", "1"),
        )
        for name, classes in (("fastws", OURS), ("uvicorn", THEIRS))
    ]


def in_a_room(members: int) -> list[Entry]:
    """One who publishes to so many."""
    load = ("fanout", "-s", "128", "-d", "4", "-c", str(members))
    return [Entry(peer, load) for peer in (FASTWS_ROOMS, UVICORN_LOOP)]


CURVES = {
    "connections": Curve(
        "Echo, 64 B, 1 in flight",
        "connections",
        (10, 100, 1000, 10_000),
        lambda n: echoes("-c", str(n)),
    ),
    "size": Curve(
        "Echo, 10 connections, 1 in flight",
        "bytes of a message",
        (16, 128, KIB, 8 * KIB, 64 * KIB, 256 * KIB, KIB * KIB),
        lambda n: [*echoes("-c", "10", "-s", str(n)), *deflating(n)],
    ),
    "members": Curve(
        "Fan-out, 128 B, 4 in flight, each delivery",
        "members of the room",
        (1, 10, 100, 1000, 5000),
        in_a_room,
    ),
    "rooms": Curve(
        "Publish to a room of one, 64 B, 16 in flight",
        "rooms",
        (1, 10, 100, 1000, 10_000),
        in_rooms,
    ),
    "workers": Curve("Echo, 64 B, 100 connections, 16 in flight", "workers", (1, 2), of_workers),
}

Measured = dict[int, list[Entry]]


def measure(curve: Curve, rounds: int, seconds: float) -> Iterator[tuple[int, list[Entry]]]:
    """Run all servers at each point."""
    for point in curve.points:
        yield point, interleave(curve.at(point), rounds, "-t", str(seconds))


def section(curve: Curve, measured: Measured) -> str:
    """The curve as a table."""
    names = [entry.peer.name for entry in next(iter(measured.values()))]
    rows = [
        [f"{point:,}", *(cell(entry) for entry in entries)] for point, entries in measured.items()
    ]
    return table((curve.axis, *names), rows)


def heading(curve: Curve) -> str:
    """What grows, and what is measured."""
    return f"By {curve.axis}: {curve.title}"


def cell(entry: Entry) -> str:
    """What one message costs, and how many there were."""
    if entry.missing:
        return f"missing: {entry.missing}"
    return f"{cpu(entry) * 1e6:.3g} µs, {short(middle(entry, lambda r: r.rate))}/s"


def main() -> int:
    """Measure, print and write; status 1 if a server did something wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(CURVES),
        metavar="A,B",
        help=f"of {','.join(CURVES)}",
    )
    parser.add_argument("--rounds", type=int, default=2, help="of each server (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.7, help="of each run (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder (%(default)s)")
    options = parser.parse_args()
    raise_file_limit()
    head = f"# What a message costs, as the load grows\n\n{machine()}\n\n{HOW}"
    order = [heading(curve) for curve in CURVES.values()]
    failed = False
    for name in options.only:
        curve = CURVES[name]
        measured = dict(measure(curve, options.rounds, options.seconds))
        text = f"{occasion()}\n\n{section(curve, measured)}"
        print(f"## {heading(curve)}\n\n{text}\n", flush=True)
        draw_curve(curve.title, curve.axis, measured, options.results / f"{name}.svg")
        text += f"\n\n![{heading(curve)}]({name}.svg)"
        write(options.results / "curves.md", head, {heading(curve): text}, order)
        failed |= any(entry.failed for entries in measured.values() for entry in entries)
    return int(failed)


HOW = """CPU time of the server's processes for one message, user and kernel, the median of the
rounds; servers and load generator are started and pinned as for the [comparison](peers.md). Where
each curve bends, and why, is in the [README](../README.md)."""


if __name__ == "__main__":
    sys.exit(main())
